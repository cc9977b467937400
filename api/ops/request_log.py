"""What is told of every request: an id, a line in the log, and two figures. The outermost middleware.

A request's task is its own, so what is bound here and further in (`logs.bind`: who asks) is in every line about the
request, the server's own about a failure included, and is not unbound.
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
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE | {"POST", "PUT", "PATCH", "DELETE"}
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}", re.ASCII)
_RUN = re.compile(r"/v1/runs/(run_[0-9a-z]{26})", re.ASCII)


class Observer:
    """Names, measures and logs each request."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each would say when it began
        self._app = app
        self._requests = Counter(
            "embedreel_http_requests_total",
            "Requests to this process",
            ["route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "embedreel_http_request_duration_seconds",
            "From a request's head to the first byte of its answer",
            ["route", "method"],
            buckets=BOUNDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope)
        logs.begin(request=request.id, **tracing.trace())

        async def answer(message: Message) -> None:
            request.on_message(message)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._report(request)

    def _report(self, request: "_Request") -> None:
        self._requests.labels(request.route, request.method, str(request.status)).inc()
        self._seconds.labels(request.route, request.method).observe(request.seconds_to_answer)
        if log.isEnabledFor(request.level):
            with logs.bound(**request.fields()):
                log.log(request.level, "request")


class _Request:
    """One request, as it is told."""

    def __init__(self, scope: Scope) -> None:
        self.id = _id(Headers(scope=scope).get(REQUEST_ID, ""))
        self.status: int = HTTPStatus.INTERNAL_SERVER_ERROR  # what the server answers where nobody else does
        self._scope = scope
        self._came_at = time.perf_counter()
        self._answered_at: float | None = None
        self._made = ""

    def on_message(self, message: Message) -> None:
        """Look at the head of the answer, and write the id into it."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self.id
            self.status = message["status"]
            self._answered_at = time.perf_counter()
            self._made = headers.get("location", "")

    @property
    def route(self) -> str:
        """The template of its address: there are as many as routes, whatever strangers ask for."""
        return getattr(self._scope.get("route"), "path", UNMATCHED)

    @property
    def method(self) -> str:
        """Its method, if it is one."""
        method: str = self._scope["method"]
        return method if method in METHODS else "other"

    @property
    def seconds_to_answer(self) -> float:
        """Time to the first byte of the answer; to the end, where there was none."""
        return (self._answered_at or time.perf_counter()) - self._came_at

    @property
    def level(self) -> int:
        """Clients poll: reading without an error fills no disk."""
        quiet = self.method in SAFE and self.status < HTTPStatus.BAD_REQUEST
        return logging.DEBUG if quiet else logging.INFO

    def fields(self) -> dict[str, logs.Field]:
        """What its line in the log says: neither the query nor a body, which may hold what is nobody's business."""
        run = self._scope.get("path_params", {}).get("run_id") or _run(self._made)
        return {
            "method": self.method,
            "path": self._scope["path"],
            "status": self.status,
            "duration_ms": round((time.perf_counter() - self._came_at) * 1000, 1),
            **({"run": run} if run else {}),
        }


def _id(offered: str) -> str:
    """The client's own id, if it is one that a log can show."""
    return offered if _SANE.fullmatch(offered) else f"req_{uuid.uuid4().hex}"


def _run(location: str) -> str | None:
    """Id of the run that was made, from the answer's Location."""
    found = _RUN.match(location)
    return found[1] if found else None
