"""The outermost middleware. It gives every request an id, a log line and two metrics.

Each request runs in its own asyncio task. Fields bound here or by inner layers (`logs.bind`, such as tenant and key)
therefore appear in every log line of the request, including the server's line about a failure. They need no unbinding.
"""

import logging
import re
import time
import uuid
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import logs, tracing

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
UNMATCHED = "unmatched"
"""Label `route` of requests that no route matches."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the histogram's buckets, seconds. Chosen by hand; not measured."""

_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)
_RUN = re.compile(r"/v1/runs/(run_[0-9a-z]{26})", re.ASCII)


class Observer:
    """Gives each request an id, measures it, and logs it."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # else each metric gets a second series, `_created`
        self._app = app
        self._requests = Counter(
            "embedreel_http_requests_total",
            "Requests to this process",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "embedreel_http_request_duration_seconds",
            "Seconds from the head of a request to the first byte of the response",
            ["route", "method"],
            buckets=BOUNDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, then log and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope)
        logs.begin(request=request.id, **tracing.trace())

        async def observed_send(message: Message) -> None:
            request.on_message(message)
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        finally:
            self._report(request)

    def _report(self, request: "_Request") -> None:
        self._requests.labels(request.route, request.method, str(request.status)).inc()
        self._seconds.labels(request.route, request.method).observe(request.seconds_to_answer)
        if log.isEnabledFor(request.level):
            with logs.bound(**request.fields()):
                log.log(request.level, "request")


class _Request:
    """One request, with the values that are logged and measured."""

    def __init__(self, scope: Scope) -> None:
        self.id = _id(Headers(scope=scope).get(REQUEST_ID, ""))
        self.status: int = (
            HTTPStatus.INTERNAL_SERVER_ERROR
        )  # the server's own status if the application sends no response
        self._scope = scope
        self._came_at = time.perf_counter()
        self._answered_at: float | None = None
        self._made = ""

    def on_message(self, message: Message) -> None:
        """Note status and time of the response's head, and add the request's id to its headers."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self.id
            self.status = message["status"]
            self._answered_at = time.perf_counter()
            self._made = headers.get("location", "")

    @property
    def route(self) -> str:
        """The route's path template. It bounds the number of label values, because clients can request any path."""
        return getattr(self._scope.get("route"), "path", UNMATCHED)

    @property
    def method(self) -> str:
        """The HTTP method; "other" if it is not one of METHODS."""
        method: str = self._scope["method"]
        return method if method in METHODS else "other"

    @property
    def seconds_to_answer(self) -> float:
        """Seconds to the first byte of the response, or to the end if no response was sent."""
        return (self._answered_at or time.perf_counter()) - self._came_at

    @property
    def level(self) -> int:
        """The log level: DEBUG for a safe request without an error, because clients poll, else INFO."""
        quiet = self.method in SAFE and self.status < HTTPStatus.BAD_REQUEST
        return logging.DEBUG if quiet else logging.INFO

    def fields(self) -> dict[str, logs.Field]:
        """Return the fields of the log line. Query and body are left out, because they may hold private data."""
        run = self._scope.get("path_params", {}).get("run_id") or _run(self._made)
        return {
            "method": self.method,
            "path": self._scope["path"],
            "status": self.status,
            "duration_ms": round((time.perf_counter() - self._came_at) * 1000, 1),
            **({"run": run} if run else {}),
        }


def _id(offered: str) -> str:
    """Return the client's own id if it is safe to log, else a new id."""
    return offered if _SANE.fullmatch(offered) else f"req_{uuid.uuid4().hex}"


def _run(location: str) -> str | None:
    """Return the id of a created run from the response's Location header, or None."""
    found = _RUN.match(location)
    return found[1] if found else None
