"""How errors reach the user: one table from core error to status, and RFC 9457 problems for all of them.

A problem's `type` is `/problems/<slug>`: stable, and an address of this service that explains it.
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
RATE_LIMIT = "embedreel.rate_limit"
"""Where in a request's scope the gate puts the headers that say how many requests are left."""


class UnauthorizedError(EmbedreelError):
    """The request carries no API key, or not the one of this service."""

    type = "unauthorized"
    title = "An API key is needed"


class MissingScopeError(EmbedreelError):
    """The key is valid, but does not allow this: GET needs the scope `read`, anything else `write`.

    Keys, workers and metrics need `admin`. Whoever runs the service makes keys.
    """

    type = "missing-scope"
    title = "The key does not allow this"


class UnknownHostError(EmbedreelError):
    """The Host header names another machine than this one: perhaps a web page is reaching for a local service."""

    type = "unknown-host"
    title = "The service does not go by this name"


class CrossSiteError(EmbedreelError):
    """A page of another web site tried to change something on a service that asks for no key."""

    type = "cross-site"
    title = "Another site's page may not do this"


class RateLimitedError(EmbedreelError):
    """More requests came within a minute than this service takes from one key or address.

    `Retry-After` says when to go on; the header `RateLimit` of every answer says how many are left.
    """

    type = "rate-limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, wait_seconds: float) -> None:
        super().__init__(detail)
        self.wait_seconds = wait_seconds


class UploadsBusyError(EmbedreelError):
    """As many datasets are being uploaded as this service takes at a time. `Retry-After` says when to try again."""

    type = "uploads-busy"
    title = "Too many uploads are under way"
    wait_seconds = 30.0


class MalformedBodyError(EmbedreelError):
    """The body, or a header that describes it, cannot be parsed."""

    type = "malformed-body"
    title = "The request cannot be read"


class MediaTypeError(EmbedreelError):
    """The Content-Type of the body is not the one that this address takes."""

    type = "unsupported-media-type"
    title = "The body is of the wrong kind"


class MethodNotAllowedError(EmbedreelError):
    """The address is there, but does not take this method; the Allow header lists those it takes."""

    type = "method-not-allowed"
    title = "The address does not take this method"


class InFlightError(EmbedreelError):
    """A request with the same Idempotency-Key is being answered at this moment; its answer is not known yet."""

    type = "idempotency-in-flight"
    title = "The same request is under way"


class RangeError(EmbedreelError):
    """The Range header asks for bytes that the file does not have."""

    type = "range-not-satisfiable"
    title = "The file has no such bytes"


class RefusedUrlError(EmbedreelError):
    """A webhook's URL is not one that this service sends to: https, and a host whose every address is public."""

    type = "refused-url"
    title = "The service does not send to this URL"


class UnexpectedError(EmbedreelError):
    """The service met an error that nobody foresaw: a defect worth reporting. Its log has the details."""

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
    # Met by stages, and shown as the error of a run.
    errors.TrainingDivergedError: 422,
    errors.DegenerateEmbeddingsError: 422,
    errors.RunTimedOutError: 500,
    errors.UnusableStateError: 500,
    errors.StageLostError: 500,
    errors.StageCrashedError: 500,
    # Met before the core is asked.
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
    "extra_forbidden": "There is no such field; /docs lists those there are",
    "missing": "This is required",
}
"""What pydantic says in its own terms, in the user's."""

_LATER = {"Retry-After": str(RETRY_AFTER_SECONDS)}
_HEADERS: Mapping[type[EmbedreelError], Mapping[str, str]] = {
    UnauthorizedError: {"WWW-Authenticate": "Bearer"},
    InFlightError: {"Retry-After": "1"},
    **dict.fromkeys((errors.NotReadyError, errors.StorageUnavailableError, errors.SourceUnavailableError), _LATER),
}


def known() -> Iterator[type[EmbedreelError]]:
    """All error classes, those of the core and those of this module."""
    pending: list[type[EmbedreelError]] = [EmbedreelError]
    while pending:
        kind = pending.pop(0)
        pending += kind.__subclasses__()
        yield kind


def as_problem(described: Mapping[str, Any]) -> dict[str, Any]:
    """A described error, as stored with a run, with the address of its type."""
    return {**described, "type": f"/problems/{described['type']}"}


def respond(
    error: EmbedreelError, *, headers: Mapping[str, str] | None = None, listed: Sequence[Mapping[str, Any]] = ()
) -> JSONResponse:
    """The error as an HTTP answer; `listed` are all faults where the body has several."""
    status = STATUS[type(error)]
    content = {**as_problem(error.describe()), "status": status} | ({"errors": list(listed)} if listed else {})
    wait = {} if error.wait_seconds is None else {"Retry-After": f"{error.wait_seconds:.0f}"}
    sent = {**_HEADERS.get(type(error), {}), **wait, **(headers or {})}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and (request_id := logs.fields().get("request")):
        content["request_id"] = sent["X-Request-ID"] = str(request_id)
    return JSONResponse(content, status, headers=sent, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    app.add_exception_handler(EmbedreelError, _on_core_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_framework_error)
    app.add_exception_handler(OSError, _on_system_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


async def _on_core_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EmbedreelError)  # noqa: S101 - what the handler is registered for
    if STATUS[type(error)] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s %s: %s", request.method, request.url.path, error.detail)
    return respond(error)


async def _on_system_error(request: Request, error: Exception) -> JSONResponse:
    """A full disk can be met anywhere; any other error of the system is one that nobody foresaw."""
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
        return respond(kind(f"There is nothing at {request.url.path}. /docs lists the addresses."))
    if kind is MethodNotAllowedError:
        allowed = ", ".join(sorted(_methods(request)))
        detail = f"{request.url.path} does not take {request.method}, but {allowed}."
        return respond(kind(detail), headers={"Allow": allowed})
    return respond(kind(error.detail), headers=error.headers)


def _methods(request: Request) -> set[str]:
    """What the address takes; Starlette's own Allow header looks at the first route of the path only."""
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
    """Answer without internals; the server logs the traceback, since Starlette raises the error again."""
    log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    shown = UnexpectedError("An error that nobody foresaw: the log of the service has the details.")
    return respond(shown, headers=request.scope.get(RATE_LIMIT))  # this answer does not pass the gate


def _says_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _path(location: Sequence[str | int]) -> str:
    """`("body", "capture", "frames")` is `capture.frames`."""
    return ".".join(str(part) for part in location[1:])
