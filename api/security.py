"""Who may come in, and how much they may bring.

One key for the whole service, or none on loopback. The gate stands before everything: a route that is added later is
closed without doing anything for it.
"""

import hashlib
import hmac
import ipaddress

from fastapi import Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import UnauthorizedError, respond
from core.settings import Settings

OPEN = frozenset({"/livez", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
MAX_BODY_BYTES = 1 << 20
UPLOADS = "/v1/datasets"

DOCUMENTED = (
    HTTPBearer(auto_error=False, description="The key of EMBEDREEL_API_KEY."),
    APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key."),
)
"""The schemes as OpenAPI names them; `Gate` is what checks them."""


def api_key(settings: Settings) -> str | None:
    """The key of this service, None where it has none.

    Raises:
        ValueError: the key, or the file that should hold it, is empty or cannot be read.
    """
    if settings.api_key is not None:
        key = settings.api_key.get_secret_value().strip()
    elif settings.api_key_file is not None:
        try:
            key = settings.api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"EMBEDREEL_API_KEY_FILE cannot be read: {error}") from error
    else:
        return None
    if not key:
        raise ValueError("The API key is empty: set EMBEDREEL_API_KEY, or write one into EMBEDREEL_API_KEY_FILE.")
    return key


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens here.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """Checks the key and bounds the body before the application sees the request."""

    def __init__(self, app: ASGIApp, *, key: str | None) -> None:
        self._app = app
        self._digest = _digest(key) if key is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if not self._may_enter(request):
            error = UnauthorizedError("Send the key of this service as Authorization: Bearer … or X-API-Key: ….")
            await respond(error)(scope, receive, send)
            return
        uploads = scope["path"] == UPLOADS  # counted there, by its own limit
        await self._app(scope, receive if uploads else _bounded(receive), send)

    def _may_enter(self, request: Request) -> bool:
        path = request.scope["path"]
        if self._digest is None or path in OPEN or path.startswith("/problems/"):
            return True
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        offered = [request.headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
        return any([hmac.compare_digest(_digest(key), self._digest) for key in offered])  # noqa: C419 - always both


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


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
