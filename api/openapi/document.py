"""The OpenAPI document: FastAPI's own, plus an example of each response and the problems of each operation.

`make docs` writes it to docs/openapi.json. A test compares that file with the application.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from api.access.middleware import is_open
from api.http.errors import MEDIA_TYPE, STATUS, as_problem
from api.openapi import examples
from api.runs.schemas import ProblemOut
from core.domain.formats import FORMATS

_UNUSED = ("HTTPValidationError", "ValidationError")

# The problems of an operation follow from its path and parameters. These sets list the exceptions.
_ONCE = frozenset({"submitRun", "drawRun", "compareRuns", "uploadDataset"})
_CONFLICTS = _ONCE | {"retryRun", "deleteRun", "deleteDataset", "registerWebhook", "testWebhook", "redeliver"}
_FILMS = frozenset(film_format.operation_id for film_format in FORMATS.values())
_FIGURES = frozenset({"getFigure", "getFigureInDefaultFormat", "getContactSheet", "getCurves"})
_PICTURES = _FIGURES | {"getFrame"}
_RESULTS = _FILMS | _PICTURES | {"getQuality", "getEvaluation", "listHighlights", "listLabelIssues"}
_RANGES = _RESULTS | {"getDatasetContactSheet"}
_NOT_READY = _RESULTS | {"getComparison", "getLog", "getProjection", "getTrainedModel", "listOutliers"}
_STORING = _ONCE | {"retryRun"}


_KEY = "An API key of this service. Not needed if the service has no keys and listens on loopback."
_SCHEMES = {
    "HTTPBearer": {"type": "http", "scheme": "bearer", "description": _KEY},
    "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": _KEY},
}
"""The two headers for a key. `AuthMiddleware` reads them: a dependency of each route would slow down every poll."""


def install(app: FastAPI) -> None:
    """Add problems, examples and security schemes to the application's OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            complete(generate())
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> None:
    """Add problems, examples and security schemes to FastAPI's document, in place."""
    components = document["components"]
    components["schemas"]["Problem"] = ProblemOut.model_json_schema()
    for name in _UNUSED:
        components["schemas"].pop(name, None)
    used = {"default"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            responses.pop("422", None)
            if not is_open(path):
                operation["security"] = [{name: []} for name in _SCHEMES]
            examples.add(operation)
            for status in sorted(str(status) for status in _problems(path, operation)):
                responses[status] = {"$ref": f"#/components/responses/Problem{status}"}
                used.add(status)
            responses["default"] = {"$ref": "#/components/responses/Problemdefault"}
    components["securitySchemes"] = _SCHEMES
    components["responses"] = {f"Problem{status}": _problem(status) for status in sorted(used)}


def _problems(path: str, operation: Mapping[str, Any]) -> Iterator[int]:
    """Yield the statuses of the problems with which this operation may respond."""
    name, places = operation["operationId"], {parameter["in"] for parameter in operation.get("parameters", ())}
    if path.startswith("/v1/"):
        yield from (401, 403, 429, 503)
    if name == "ready":
        yield 503
    if "path" in places:
        yield 404
    if "requestBody" in operation:
        yield from (400, 413, 415)
    if "requestBody" in operation or places & {"query", "header"}:
        yield 422
    if name in _CONFLICTS | _NOT_READY:
        yield 409
    if name in _RANGES:
        yield 416
    if name in _STORING:
        yield 507


def _problem(status: str) -> dict[str, Any]:
    """Return the response object of a status. Its example is recorded, or made from the first error class."""
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    phrase = "Any other error" if status == "default" else HTTPStatus(int(status)).phrase
    kind = next((kind for kind, sent in STATUS.items() if str(sent) == status), None)
    if status in examples.PROBLEMS:
        content["example"] = examples.PROBLEMS[status]
    elif kind is not None:
        summary = (kind.__doc__ or "").split("\n", maxsplit=1)[0]
        content["example"] = {**as_problem(kind(summary).describe()), "status": int(status)}
    description = f"{phrase}: a problem (RFC 9457). `type` is stable, and `field` is the path of the invalid field."
    return {"description": description, "content": {MEDIA_TYPE: content}}
