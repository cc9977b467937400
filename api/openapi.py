"""The OpenAPI document: FastAPI's own, with problems as the answer to everything that goes wrong."""

from typing import Any

from fastapi import FastAPI

from api.errors import MEDIA_TYPE
from api.schemas import ProblemOut

_PROBLEM = {
    "description": "A problem (RFC 9457); `type` is stable, `field` names the field at fault.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_UNUSED = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI) -> None:
    """Describe the errors that this service really sends."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = _PROBLEM
            schemas = document["components"]["schemas"]
            schemas["Problem"] = ProblemOut.model_json_schema()
            for name in _UNUSED:
                schemas.pop(name, None)
        return app.openapi_schema or document

    app.openapi = openapi  # type: ignore[method-assign]
