"""What this is, whether it lives, and whether it is ready."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from api.http import pages
from api.wiring import PartsOf
from core.version import installed_version

router = APIRouter(tags=["service"])

ADDRESSES = {
    "/docs": "The API, interactively",
    "/openapi.json": "The API as an OpenAPI document",
    "/problems": "What its errors mean",
    "/v1/runs": "Runs",
    "/v1/datasets": "Datasets",
    "/v1/models": "Models",
    "/v1/workers": "Workers",
    "/readyz": "Whether runs can be accepted",
}


class IndexOut(BaseModel):
    """What this is, and where to go on."""

    service: str
    version: str
    links: dict[str, str]


class LiveOut(BaseModel):
    """The process is alive."""

    status: str


class ReadyOut(BaseModel):
    """Runs can be accepted; the workers that are alive, and the queues that they serve."""

    status: str
    database: str
    store: str
    workers: int
    queues: list[str]


@router.get("/", operation_id="index", summary="What is this?", response_model=IndexOut, responses=pages.NEGOTIATED)
async def index(request: Request) -> Response:
    """What this is, and the addresses to go on from."""
    links = {path.rsplit("/", 1)[1].removesuffix(".json"): path for path in ADDRESSES}
    content = IndexOut(service="Embedreel", version=installed_version(), links=links)
    return pages.answer(request, content.model_dump(), title="Embedreel", body=pages.listed(ADDRESSES))


@router.get("/livez", operation_id="live", summary="Is the process alive?")
async def live() -> LiveOut:
    """Touches nothing."""
    return LiveOut(status="ok")


@router.get("/readyz", operation_id="ready", summary="Can runs be accepted?")
async def ready(parts: PartsOf) -> ReadyOut:
    """Looks at database and store, at most once a second. A missing worker is told, but is no failure: runs wait."""
    found = await parts.readiness.read()
    return ReadyOut(status="ok", database="ok", store="ok", workers=found.workers, queues=list(found.queues))
