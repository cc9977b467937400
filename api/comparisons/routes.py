"""Routes for comparisons: several runs side by side, as a table and a film."""

from fastapi import APIRouter, Response, status
from fastapi.concurrency import run_in_threadpool

from api.comparisons import describe
from api.comparisons.schemas import ComparisonCreate, ComparisonOut
from api.comparisons.service import Comparisons
from api.http.idempotency import REPLAYED, IdempotencyKey, replay_header
from api.runs.artifacts import Artifacts

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])

_LOCATION = {"Location": {"description": "The path of the comparison.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="compareRuns",
    summary="Compare runs",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: {"headers": _LOCATION | REPLAYED}},
)
async def compare(
    comparisons: Comparisons,
    artifacts: Artifacts,
    response: Response,
    body: ComparisonCreate,
    idempotency_key: IdempotencyKey = None,
) -> ComparisonOut:
    """Compare runs that have succeeded. The table is in this response; the film follows.

    The film shows the runs side by side. The layout of each run is shifted, scaled and rotated or reflected as a whole,
    so that its last frame is closest to the last frame of the first run. A new run with the comparison's id draws the
    film. Poll, cancel, retry and delete this run like any other run.
    """
    accepted = await run_in_threadpool(comparisons.compare, body, idempotency_key=idempotency_key)
    response.headers["Location"] = f"/v1/comparisons/{accepted.run_id}"
    response.headers.update(replay_header(replayed=accepted.replayed))
    return await run_in_threadpool(describe.describe, artifacts, accepted.run_id)


@router.get("/{comparison_id}", operation_id="getComparison", summary="Show a comparison")
def show(artifacts: Artifacts, comparison_id: str) -> ComparisonOut:
    """Show the table of the runs, the similarity of their representations, and the link to the film."""
    return describe.describe(artifacts, comparison_id)
