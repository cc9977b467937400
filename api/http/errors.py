"""Errors over HTTP: a table from each error class to its status, and an RFC 9457 problem for every error.

A problem's `type` is `/problems/<slug>`. It is stable, and GET on it explains the error.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match

from core import errors, logs
from core.errors import EmbedreelError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""Retry-After if a resource is not ready or a storage does not answer, seconds. Chosen by hand; not measured."""
RATE_LIMIT = "embedreel.rate_limit"
"""Key in a request's scope under which `AuthMiddleware` stores the RateLimit headers."""


class UnauthorizedError(EmbedreelError):
    """The request carries no valid API key of this service."""

    type = "unauthorized"
    title = "An API key is needed"


class MissingScopeError(EmbedreelError):
    """The key lacks the scope that this request needs. GET needs the scope `read`, other methods need `write`.

    Keys, workers and metrics need the scope `admin`. The operator of the service makes keys.
    """

    type = "missing-scope"
    title = "The key does not allow this"


class UnknownHostError(EmbedreelError):
    """The Host header names another host: a web page may be trying to reach a local service (DNS rebinding)."""

    type = "unknown-host"
    title = "The Host header does not name this service"


class CrossSiteError(EmbedreelError):
    """A page of another web site tried to change something on a service that needs no key."""

    type = "cross-site"
    title = "A page of another site may not do this"


class RateLimitedError(EmbedreelError):
    """One key or IP address sent more requests within a minute than this service accepts.

    `Retry-After` gives the seconds to wait. The header `RateLimit` of every response gives the requests left.
    """

    type = "rate-limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, wait_seconds: float) -> None:
        super().__init__(detail)
        self.wait_seconds = wait_seconds


class UploadsBusyError(EmbedreelError):
    """The maximum number of uploads is already under way. `Retry-After` says when to try again."""

    type = "uploads-busy"
    title = "Too many uploads are under way"
    wait_seconds = 30.0  # chosen by hand; not measured


class MalformedBodyError(EmbedreelError):
    """The body, or a header that describes it, cannot be parsed."""

    type = "malformed-body"
    title = "The request cannot be read"


class MediaTypeError(EmbedreelError):
    """The path does not accept the Content-Type of the body."""

    type = "unsupported-media-type"
    title = "The Content-Type is not supported"


class MethodNotAllowedError(EmbedreelError):
    """The path exists, but does not accept this method. The Allow header lists the accepted methods."""

    type = "method-not-allowed"
    title = "The path does not accept this method"


class InFlightError(EmbedreelError):
    """A request with the same Idempotency-Key is still being processed, so its result is not known yet."""

    type = "idempotency-in-flight"
    title = "The same request is under way"


class RangeError(EmbedreelError):
    """The Range header asks for bytes that the file does not have."""

    type = "range-not-satisfiable"
    title = "The file has no such bytes"


class RefusedUrlError(EmbedreelError):
    """The service does not send to this webhook URL. The URL must be https, and all addresses of its host public."""

    type = "refused-url"
    title = "The service does not send to this URL"


class UnexpectedError(EmbedreelError):
    """The service failed with an unexpected error. This is a defect; please report it. The log has the details."""

    type = "unexpected"
    title = "The service failed"


STATUS: Mapping[type[EmbedreelError], int] = {
    EmbedreelError: 500,
    errors.InvalidSpecError: 422,
    errors.UnknownDatasetError: 422,
    errors.UnknownModelError: 422,
    errors.UnusableModelError: 422,
    errors.InvalidDatasetError: 422,
    errors.UploadTooLargeError: 413,
    errors.NotFoundError: 404,
    errors.NotReadyError: 409,
    errors.ConflictError: 409,
    errors.SourceUnavailableError: 503,
    errors.StorageUnavailableError: 503,
    errors.InsufficientStorageError: 507,
    errors.QuotaExceededError: 429,
    # Raised by stages, and shown as `error` of a run.
    errors.TrainingDivergedError: 422,
    errors.DegenerateEmbeddingsError: 422,
    errors.RunTimedOutError: 500,
    errors.UnusableStateError: 500,
    errors.StageLostError: 500,
    errors.StageCrashedError: 500,
    # Raised by the API itself.
    UnauthorizedError: 401,
    MissingScopeError: 403,
    CrossSiteError: 403,
    UnknownHostError: 421,
    RateLimitedError: 429,
    UploadsBusyError: 503,
    MalformedBodyError: 400,
    MediaTypeError: 415,
    MethodNotAllowedError: 405,
    InFlightError: 409,
    RangeError: 416,
    RefusedUrlError: 422,
    UnexpectedError: 500,
}

_FRAMEWORK: Mapping[int, type[EmbedreelError]] = {
    400: MalformedBodyError,
    404: errors.NotFoundError,
    405: MethodNotAllowedError,
    413: errors.UploadTooLargeError,
}

_SAID: Mapping[str, str] = {
    "extra_forbidden": "There is no such field; /docs lists the fields",
    "missing": "This is required",
}
"""Texts that replace pydantic's messages, by pydantic's error type."""

_LATER = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_HEADERS: Mapping[type[EmbedreelError], Mapping[str, str]] = {
    UnauthorizedError: {"WWW-Authenticate": "Bearer"},
    InFlightError: {"Retry-After": "1"},
    **dict.fromkeys((errors.NotReadyError, errors.StorageUnavailableError, errors.SourceUnavailableError), _LATER),
}


def known() -> Iterator[type[EmbedreelError]]:
    """Yield all error classes: `EmbedreelError` and every subclass."""
    pending: list[type[EmbedreelError]] = [EmbedreelError]
    while pending:
        kind = pending.pop(0)
        pending += kind.__subclasses__()
        yield kind


def as_problem(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error record, such as a run's, with `type` as the path `/problems/<slug>`."""
    return {**described, "type": f"/problems/{described['type']}"}


def respond(
    error: EmbedreelError, *, headers: Mapping[str, str] | None = None, listed: Sequence[Mapping[str, Any]] = ()
) -> JSONResponse:
    """Return the error as a problem response. `listed` has one entry for each fault of an invalid request."""
    status = STATUS[type(error)]
    content = {**as_problem(error.describe()), "status": status} | ({"errors": list(listed)} if listed else {})
    wait = {} if error.wait_seconds is None else {"Retry-After": f"{error.wait_seconds:.0f}"}
    sent = {**_HEADERS.get(type(error), {}), **wait, **(headers or {})}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and (request_id := logs.fields().get("request")):
        content["request_id"] = sent["X-Request-ID"] = str(request_id)
    return JSONResponse(content, status, headers=sent, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register handlers that turn every error of the application into a problem response."""
    app.add_exception_handler(EmbedreelError, _on_core_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_framework_error)
    app.add_exception_handler(OSError, _on_system_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


async def _on_core_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EmbedreelError)  # noqa: S101 - the handler is registered for this class
    if STATUS[type(error)] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s %s: %s", request.method, request.url.path, error.detail)
    return respond(error)


async def _on_system_error(request: Request, error: Exception) -> JSONResponse:
    """Turn "disk full" into an `InsufficientStorageError`. Raise any other OSError again, as unexpected."""
    assert isinstance(error, OSError)  # noqa: S101
    if error.errno not in errors.FULL:
        raise error
    return await _on_core_error(request, errors.storage_error(error, "A file cannot be written"))


async def _on_framework_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    kind = _FRAMEWORK.get(error.status_code)
    if kind is None:
        phrase = HTTPStatus(error.status_code).phrase
        content = {"type": "about:blank", "title": phrase, "status": error.status_code, "detail": error.detail}
        return JSONResponse(content, error.status_code, headers=error.headers, media_type=MEDIA_TYPE)
    if kind is errors.NotFoundError:
        return respond(kind(f"There is nothing at {request.url.path}. /docs lists all paths."))
    if kind is MethodNotAllowedError:
        allowed = ", ".join(sorted(_methods(request)))
        detail = f"{request.url.path} does not accept {request.method}. It accepts {allowed}."
        return respond(kind(detail), headers={"Allow": allowed})
    return respond(kind(error.detail), headers=error.headers)


def _methods(request: Request) -> set[str]:
    """Return the methods that the path accepts. Starlette's own Allow header covers only the path's first route."""
    found: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        match, _ = context.matches(request.scope)
        if match is not Match.NONE:
            found |= context.methods or set()
    return found


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = error.errors()
    if any(fault["loc"][0] == "path" for fault in faults):
        return respond(errors.NotFoundError(f"There is nothing at {request.url.path}."))
    if any(fault["type"] == "json_invalid" for fault in faults):
        reason = faults[0].get("ctx", {}).get("error", "it cannot be parsed")
        return respond(MalformedBodyError(f"The body is not JSON: {reason}."))
    if any(fault["loc"] == ("body",) and fault["type"] != "missing" for fault in faults) and not _says_json(request):
        return respond(MediaTypeError("Send the body as JSON, with the header Content-Type: application/json."))
    listed = [
        {"field": _path(fault["loc"]), "detail": _SAID.get(fault["type"], fault["msg"]), "code": fault["type"]}
        for fault in faults
    ]
    field = str(listed[0]["field"])
    detail = f"{field or 'The body'}: {listed[0]['detail']}."
    return respond(errors.InvalidSpecError(detail, field=field or None), listed=listed)


async def _on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """Respond without internal details. Starlette raises the error again, so the server logs the traceback."""
    log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    shown = UnexpectedError("The service failed unexpectedly; its log has the details.")
    return respond(shown, headers=request.scope.get(RATE_LIMIT))  # this response bypasses AuthMiddleware


def _says_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _path(location: Sequence[str | int]) -> str:
    """Return the field's path: `capture.frames` for `("body", "capture", "frames")`."""
    return ".".join(str(part) for part in location[1:])
