"""Authentication, rate limiting and a limit on the body's size, applied before any route runs.

The middleware covers every path, so it also protects new routes. It stores the caller in the request's scope under
"caller". `api.access.services` then gives each route the services of that caller's tenant.
"""

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.caller import NOBODY, Caller, scope_needed
from api.access.hosts import Hosts
from api.access.keyring import KeyRing
from api.access.rate_limit import RateLimiter
from api.http.errors import RATE_LIMIT, MissingScopeError, RateLimitedError, UnauthorizedError, respond
from core import logs
from core.errors import EmbedreelError

OPEN = frozenset({"/", "/problems", "/livez", "/readyz", "/docs", "/openapi.json"})
OPEN_BELOW = ("/problems/", "/docs/")
MAX_BODY_BYTES = 1 << 20
"""Maximum size of a request's body, uploads excluded, bytes. Chosen by hand; not measured."""

UPLOADS = "/v1/datasets"


def is_open(path: str) -> bool:
    """Return True if a path needs no key."""
    return path in OPEN or path.startswith(OPEN_BELOW)


class AuthMiddleware:
    """ASGI middleware: identify the caller, count the request, check its scope, and limit its body."""

    def __init__(self, app: ASGIApp, *, keyring: KeyRing, hosts: Hosts, meter: RateLimiter) -> None:
        self._app = app
        self._keyring = keyring
        self._hosts = hosts
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if is_open(path):
            scope["caller"] = NOBODY
            await self._app(scope, _bounded(receive), send)
            return
        request = Request(scope)
        send = _announcing(request, send)
        try:
            scope["caller"] = await self._authenticate(request, path)
        except EmbedreelError as error:
            await respond(error)(scope, receive, send)
            return
        logs.bind(tenant=scope["caller"].tenant, key=scope["caller"].key_id)
        uploads = path == UPLOADS  # the upload route applies its own size limit
        await self._app(scope, receive if uploads else _bounded(receive), send)

    async def _authenticate(self, request: Request, path: str) -> Caller:
        caller = await self._identify(request, counts=path.startswith("/v1/"))
        if caller is None:
            raise UnauthorizedError("Send a key of this service as Authorization: Bearer … or X-API-Key: ….")
        self._hosts.check(request, has_key=caller.key_id is not None)
        needed = scope_needed(request.method, path)
        if needed not in caller.scopes:
            has = ", ".join(sorted(caller.scopes))
            raise MissingScopeError(f"This request needs the scope {needed}. The key that was sent has: {has}.")
        return caller

    async def _identify(self, request: Request, *, counts: bool) -> Caller | None:
        """Return the caller, or None if access is denied.

        A key that is not in the cache counts against the client's IP address before the database lookup, at any path.
        If the key turns out to be valid, that count is taken back and the request counts against the key.

        Args:
            request: the request.
            counts: True if requests to this path count against the rate limit even without a lookup.
        """
        address, looked_up = _address(request), 0

        def count_look_up() -> None:
            nonlocal looked_up
            self._count(request, address)
            looked_up += 1

        caller = await self._keyring.identify(request.headers, before_look_up=count_look_up)
        key_id = caller and caller.key_id
        if key_id:
            for _ in range(looked_up):
                self._meter.take_back(address)
            request.scope.pop(RATE_LIMIT, None)
        if counts and (key_id or not looked_up):
            self._count(request, key_id or address)
        return caller

    def _count(self, request: Request, sender: str) -> None:
        reading = self._meter.count(sender)
        if reading is None:
            return
        request.scope[RATE_LIMIT] = reading.headers()
        if reading.exceeded:
            raise RateLimitedError(
                f"More than {reading.limit} requests came within a minute. Try again in {reading.seconds} seconds.",
                wait_seconds=reading.seconds,
            )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _announcing(request: Request, send: Send) -> Send:
    """Wrap `send` so that the response carries the rate limit headers."""

    async def announcing(message: Message) -> None:
        if message["type"] == "http.response.start" and (limit := request.scope.get(RATE_LIMIT)):
            added = [(name.lower().encode(), value.encode()) for name, value in limit.items()]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return announcing


def _bounded(receive: Receive) -> Receive:
    """Wrap `receive` so that a body of more than MAX_BODY_BYTES fails with status 413."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:  # FastAPI passes on only HTTPException while it reads a body
            raise HTTPException(
                413, f"The body is longer than {MAX_BODY_BYTES} bytes. Only an upload of a dataset may be longer."
            )
        return message

    return bounded
