"""Comparisons: several runs side by side, as a table and a film."""

from fastapi import APIRouter, Response, status
from fastapi.concurrency import run_in_threadpool

from api.comparisons import describe
from api.comparisons.schemas import ComparisonCreate, ComparisonOut
from api.http.idempotency import REPLAYED, IdempotencyKey, replay_header
from api.wiring import PartsOf

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])

_LOCATION = {"Location": {"description": "The comparison's address.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="compareRuns",
    summary="Compare runs",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: {"headers": _LOCATION | REPLAYED}},
)
async def compare(
    parts: PartsOf, response: Response, body: ComparisonCreate, idempotency_key: IdempotencyKey = None
) -> ComparisonOut:
    """Show runs that have succeeded side by side: a table at once, and a film in which each ends turned like the first.

    The film is drawn by a run of its own, of the same id, which is polled, cancelled, retried and deleted as any other.
    """
    accepted = await run_in_threadpool(parts.comparisons.compare, body, idempotency_key=idempotency_key)
    response.headers["Location"] = f"/v1/comparisons/{accepted.run_id}"
    response.headers.update(replay_header(replayed=accepted.replayed))
    return await run_in_threadpool(describe.describe, parts.results, accepted.run_id)


@router.get("/{comparison_id}", operation_id="getComparison", summary="Show a comparison")
def show(parts: PartsOf, comparison_id: str) -> ComparisonOut:
    """The table of the runs, how much alike they are, and where the film is."""
    return describe.describe(parts.results, comparison_id)
