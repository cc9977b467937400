"""Who may come in, and how much they may bring.

The gate stands before everything: a route that is added later is closed, and needs a scope, without doing anything for
it. It puts the caller into the request's scope; `PartsOf` gives the routes the parts of that caller's tenant only.
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
UPLOADS = "/v1/datasets"


def is_open(path: str) -> bool:
    """Whether anybody may ask for this address."""
    return path in OPEN or path.startswith(OPEN_BELOW)


class AuthMiddleware:
    """Finds out who asks, counts, checks what they may do, and bounds the body, before the application is asked."""

    def __init__(self, app: ASGIApp, *, keyring: KeyRing, hosts: Hosts, meter: RateLimiter) -> None:
        self._app = app
        self._keyring = keyring
        self._hosts = hosts
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
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
        uploads = path == UPLOADS  # counted there, by its own limit
        await self._app(scope, receive if uploads else _bounded(receive), send)

    async def _authenticate(self, request: Request, path: str) -> Caller:
        caller = await self._identify(request, counts=path.startswith("/v1/"))
        if caller is None:
            raise UnauthorizedError("Send a key of this service as Authorization: Bearer … or X-API-Key: ….")
        self._hosts.check(request, has_key=caller.key_id is not None)
        needed = scope_needed(request.method, path)
        if needed not in caller.scopes:
            has = ", ".join(sorted(caller.scopes))
            raise MissingScopeError(f"This needs a key with the scope {needed}; the one that was sent has: {has}.")
        return caller

    async def _identify(self, request: Request, *, counts: bool) -> Caller | None:
        """Who asks; None: nobody who may come in.

        A key that nobody knows is counted for its address before the database is asked for it, wherever it is sent. If
        it turns out to be valid, the request is counted for the key instead.

        Args:
            request: what came.
            counts: whether a request to this address is counted in any case.
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
    """Tell with the answer where the sender stands."""

    async def announcing(message: Message) -> None:
        if message["type"] == "http.response.start" and (limit := request.scope.get(RATE_LIMIT)):
            added = [(name.lower().encode(), value.encode()) for name, value in limit.items()]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return announcing


def _bounded(receive: Receive) -> Receive:
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:  # of all errors, FastAPI lets only this one through while it reads a body
            raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes; only a dataset may be.")
        return message

    return bounded
