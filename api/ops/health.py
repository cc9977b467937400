"""Routes for the service itself: index, liveness and readiness."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from api.access.services import service
from api.http import pages
from api.ops.readiness import Readiness
from core.version import installed_version

router = APIRouter(tags=["service"])

ADDRESSES = {
    "/docs": "Interactive documentation of the API",
    "/openapi.json": "The API as an OpenAPI document",
    "/problems": "Explanations of errors",
    "/v1/runs": "Runs",
    "/v1/datasets": "Datasets",
    "/v1/models": "Models",
    "/v1/workers": "Workers",
    "/readyz": "Readiness: can runs be accepted?",
}


class IndexOut(BaseModel):
    """The service's name and version, and links."""

    service: str
    version: str
    links: dict[str, str]


class LiveOut(BaseModel):
    """The process is alive."""

    status: str


class ReadyOut(BaseModel):
    """The service can accept runs. `workers` counts the live workers. `queues` lists the queues that they serve."""

    status: str
    database: str
    store: str
    workers: int
    queues: list[str]


@router.get(
    "/",
    operation_id="index",
    summary="Show name, version and links",
    response_model=IndexOut,
    responses=pages.NEGOTIATED,
)
async def index(request: Request) -> Response:
    """Show the service's name and version, and links to its main paths."""
    links = {path.rsplit("/", 1)[1].removesuffix(".json"): path for path in ADDRESSES}
    content = IndexOut(service="Embedreel", version=installed_version(), links=links)
    return pages.answer(request, content.model_dump(), title="Embedreel", body=pages.listed(ADDRESSES))


@router.get("/livez", operation_id="live", summary="Is the process alive?")
async def live() -> LiveOut:
    """Respond without reading the database or the store."""
    return LiveOut(status="ok")


@router.get("/readyz", operation_id="ready", summary="Can runs be accepted?")
async def ready(readiness: Annotated[Readiness, Depends(service(Readiness))]) -> ReadyOut:
    """Check the database and the store, at most once a second.

    The service is also ready if no worker is alive. Runs then wait.
    """
    found = await readiness.read()
    return ReadyOut(status="ok", database="ok", store="ok", workers=found.workers, queues=list(found.queues))
