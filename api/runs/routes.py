"""Routes for runs: submit, list, show, cancel, retry, draw again, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from api.access.services import service_of
from api.http.files import matches
from api.http.idempotency import REPLAYED, IdempotencyKey, replay_header
from api.http.prefer import Prefer, applied, wait_seconds
from api.runs.describe import etag_at
from api.runs.polling import Reads, RunReads
from api.runs.schemas import EXAMPLE, RenderCreate, RunCreate, RunOut, RunPage
from api.runs.service import Runs
from core.store.queries.waiting import RunState

router = APIRouter(prefix="/v1/runs", tags=["runs"])

SUBMITTED = {
    "minimal": {"summary": "Only the required field", "value": {"dataset": "digits"}},
    "complete": {"summary": "Every section", "value": EXAMPLE},
}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


WAITED = {
    "Preference-Applied": _header("The applied `wait` of the Prefer header, at most 60 s. Absent without `wait`.")
}
TAGGED = {"ETag": _header("Tag of the run's state in this response, for If-None-Match.")}
RUN_THERE = {"Location": _header("The path of the run."), **TAGGED, **WAITED}
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"headers": RUN_THERE}}
ACCEPTED_ONCE: dict[int | str, dict[str, Any]] = {202: {"headers": RUN_THERE | REPLAYED}}


@router.get(  # first, because routes are tried in order and clients poll this route
    "/{run_id}",
    operation_id="getRun",
    summary="Show a run",
    response_model=RunOut,
    responses={
        200: {"headers": TAGGED | WAITED},
        304: {
            "description": "The client already has the current state of the run (If-None-Match).",
            "headers": TAGGED | WAITED,
        },
    },
)
async def show(request: Request, run_id: str, prefer: Prefer = None) -> Response:
    """Show a run with its stages, progress and time left. Poll this route with If-None-Match.

    With If-None-Match, `Prefer: wait` delays the response until the run's state differs from the client's state.
    Without If-None-Match, it delays the response until the run has ended.
    """
    reads = service_of(RunReads, request)  # called here, because a dependency would slow down every poll
    seconds, seen = wait_seconds(prefer), None
    if seconds is not None or "if-none-match" in request.headers:
        seen = await _awaited(reads, request, run_id, seconds or 0)
        if matches(request, tag := etag_at(seen)):
            unchanged = Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=_polled(tag))
            applied(unchanged, seconds)
            return unchanged
    shown = await reads.run(run_id, seen=seen)
    answer = Response(shown.body, headers=_polled(shown.etag), media_type="application/json")
    applied(answer, seconds)
    return answer


@router.post(
    "",
    operation_id="submitRun",
    summary="Submit a run",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED_ONCE,
)
async def submit(
    runs: Runs,
    reads: Reads,
    body: Annotated[RunCreate, Body(openapi_examples=SUBMITTED)],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Submit a run. The response has its plan and links. `Prefer: wait` delays the response until the run has ended."""
    accepted = await run_in_threadpool(runs.submit, body, idempotency_key=idempotency_key)
    return await _accepted(reads, accepted.run_id, prefer, replayed=accepted.replayed)


@router.get("", operation_id="listRuns", summary="List runs, newest first")
def page(
    runs: Runs,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> RunPage:
    """List runs page by page, including comparisons. `next_cursor` is null on the last page."""
    return runs.page(cursor=cursor, limit=limit)


async def _awaited(reads: RunReads, request: Request, run_id: str, seconds: int) -> RunState:
    """Wait until the run's state differs from the client's state, or until the time is up. Return the state.

    Without If-None-Match, wait for the end of the run.
    """
    if "if-none-match" not in request.headers:
        return await _ended(reads, run_id, seconds)
    return await reads.until(run_id, lambda seen: not matches(request, etag_at(seen)), seconds=seconds)


async def _ended(reads: RunReads, run_id: str, seconds: int) -> RunState:
    return await reads.until(run_id, lambda seen: seen.status.terminal, seconds=seconds)


@router.post(
    "/{run_id}/cancel",
    operation_id="cancelRun",
    summary="Cancel a run",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED,
)
async def cancel(runs: Runs, reads: Reads, run_id: str, prefer: Prefer = None) -> Response:
    """Cancel a run. It stops within 25 seconds. A run that has ended does not change.

    `Prefer: wait` delays the response until the run has ended.
    """
    await run_in_threadpool(runs.cancel, run_id)
    return await _accepted(reads, run_id, prefer)


@router.post(
    "/{run_id}/retry",
    operation_id="retryRun",
    summary="Retry a run",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED,
)
async def retry(runs: Runs, reads: Reads, run_id: str, prefer: Prefer = None) -> Response:
    """Retry a run that failed, was cancelled, or lost files. Finished stages are kept.

    `Prefer: wait` delays the response until the run has ended.
    """
    await run_in_threadpool(runs.retry, run_id)
    return await _accepted(reads, run_id, prefer)


@router.post(
    "/{run_id}/renders",
    operation_id="drawRun",
    summary="Draw a run with other settings",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED_ONCE,
)
async def draw(  # noqa: PLR0917 - FastAPI passes by name
    runs: Runs,
    reads: Reads,
    run_id: str,
    body: RenderCreate,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Make a new run with other settings of `score`, `project`, `align` or `render`. Nothing is trained again.

    The new run reuses the training and the embeddings. `Prefer: wait` delays the response until it has ended.
    """
    accepted = await run_in_threadpool(runs.draw, run_id, body, idempotency_key=idempotency_key)
    return await _accepted(reads, accepted.run_id, prefer, replayed=accepted.replayed)


@router.delete("/{run_id}", operation_id="deleteRun", summary="Delete a run", status_code=status.HTTP_204_NO_CONTENT)
def remove(runs: Runs, run_id: str) -> None:
    """Delete a run that has ended, and its results that no other run needs."""
    runs.remove(run_id)


async def _accepted(reads: RunReads, run_id: str, prefer: str | None, *, replayed: bool = False) -> Response:
    """Respond with 202 and the run. With `Prefer: wait`, first wait until the run has ended or the time is up."""
    seconds = wait_seconds(prefer)
    if seconds is not None:
        await _ended(reads, run_id, seconds)
    shown = await reads.run(run_id)
    headers = {"Location": f"/v1/runs/{run_id}", "ETag": shown.etag}
    headers |= replay_header(replayed=replayed)
    answer = Response(shown.body, status.HTTP_202_ACCEPTED, headers, media_type="application/json")
    applied(answer, seconds)
    return answer


def _polled(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "no-cache"}
