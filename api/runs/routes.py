"""Runs: submit, list, show, cancel, retry, draw otherwise, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from api.http.files import matches
from api.http.idempotency import REPLAYED, IdempotencyKey, replay_header
from api.http.prefer import Prefer, applied, wait_seconds
from api.runs.describe import etag_at
from api.runs.schemas import EXAMPLE, RenderCreate, RunCreate, RunOut, RunPage
from api.wiring import Parts, PartsOf, parts_of
from core.store.queries.waiting import RunState

router = APIRouter(prefix="/v1/runs", tags=["runs"])

SUBMITTED = {
    "minimal": {"summary": "Only what is required", "value": {"dataset": "digits"}},
    "complete": {"summary": "Every section", "value": EXAMPLE},
}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


WAITED = {"Preference-Applied": _header("The `wait` of the Prefer header, at most 60 s, if there was one.")}
TAGGED = {"ETag": _header("What the client has seen, for If-None-Match.")}
RUN_THERE = {"Location": _header("The run's address."), **TAGGED, **WAITED}
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"headers": RUN_THERE}}
ACCEPTED_ONCE: dict[int | str, dict[str, Any]] = {202: {"headers": RUN_THERE | REPLAYED}}


@router.get(  # the first one: routes are tried in order, and this is asked for thousands of times a second
    "/{run_id}",
    operation_id="getRun",
    summary="Show a run",
    response_model=RunOut,
    responses={
        200: {"headers": TAGGED | WAITED},
        304: {
            "description": "The client has seen the run as it is (If-None-Match).",
            "headers": TAGGED | WAITED,
        },
    },
)
async def show(request: Request, run_id: str, prefer: Prefer = None) -> Response:
    """A run with its stages, progress and time left. Poll it with If-None-Match.

    `Prefer: wait` waits for a version that the client does not have; without If-None-Match, for the end of the run.
    """
    parts = await parts_of(request)  # as a dependency it takes longer
    seconds, seen = wait_seconds(prefer), None
    if seconds is not None or "if-none-match" in request.headers:
        seen = await _awaited(parts, request, run_id, seconds or 0)
        if matches(request, tag := etag_at(seen)):
            unchanged = Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=_polled(tag))
            applied(unchanged, seconds)
            return unchanged
    shown = await parts.run_reads.run(run_id, tenant=parts.tenant, seen=seen)
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
    parts: PartsOf,
    body: Annotated[RunCreate, Body(openapi_examples=SUBMITTED)],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Accept a run, with its plan and the addresses of what it will make; `Prefer: wait` waits for its end."""
    accepted = await run_in_threadpool(parts.service.submit, body, idempotency_key=idempotency_key)
    return await _accepted(parts, accepted.run_id, prefer, replayed=accepted.replayed)


@router.get("", operation_id="listRuns", summary="List runs, newest first")
def page(
    parts: PartsOf,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> RunPage:
    """Some runs; `next_cursor` is null on the last page."""
    return parts.service.page(cursor=cursor, limit=limit)


async def _awaited(parts: Parts, request: Request, run_id: str, seconds: int) -> RunState:
    """The run as soon as it is not as the client knows it, or as it is when the client's patience ends."""
    if "if-none-match" not in request.headers:
        return await _ended(parts, run_id, seconds)
    return await parts.run_reads.until(
        run_id, lambda seen: not matches(request, etag_at(seen)), tenant=parts.tenant, seconds=seconds
    )


async def _ended(parts: Parts, run_id: str, seconds: int) -> RunState:
    return await parts.run_reads.until(run_id, lambda seen: seen.status.terminal, tenant=parts.tenant, seconds=seconds)


@router.post(
    "/{run_id}/cancel",
    operation_id="cancelRun",
    summary="Cancel a run",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED,
)
async def cancel(parts: PartsOf, run_id: str, prefer: Prefer = None) -> Response:
    """Stop a run within 25 seconds; `Prefer: wait` waits for that. One that has ended stays as it is."""
    await run_in_threadpool(parts.service.cancel, run_id)
    return await _accepted(parts, run_id, prefer)


@router.post(
    "/{run_id}/retry",
    operation_id="retryRun",
    summary="Retry a run",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED,
)
async def retry(parts: PartsOf, run_id: str, prefer: Prefer = None) -> Response:
    """Start a failed or cancelled run again; its finished stages are kept. `Prefer: wait` waits for its end."""
    await run_in_threadpool(parts.service.retry, run_id)
    return await _accepted(parts, run_id, prefer)


@router.post(
    "/{run_id}/renders",
    operation_id="drawRun",
    summary="Draw a run otherwise",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=RunOut,
    responses=ACCEPTED_ONCE,
)
async def draw(
    parts: PartsOf,
    run_id: str,
    body: RenderCreate,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Make a new run that scores, projects, aligns or draws what this one has learnt; nothing is trained again."""
    accepted = await run_in_threadpool(parts.service.draw, run_id, body, idempotency_key=idempotency_key)
    return await _accepted(parts, accepted.run_id, prefer, replayed=accepted.replayed)


@router.delete("/{run_id}", operation_id="deleteRun", summary="Delete a run", status_code=status.HTTP_204_NO_CONTENT)
def remove(parts: PartsOf, run_id: str) -> None:
    """Delete a run that has ended. What it made goes too, unless another run shares it."""
    parts.service.remove(run_id)


async def _accepted(parts: Parts, run_id: str, prefer: str | None, *, replayed: bool = False) -> Response:
    """202 with the run as it is, or as it is when it has ended or the client's patience has."""
    seconds = wait_seconds(prefer)
    if seconds is not None:
        await _ended(parts, run_id, seconds)
    shown = await parts.run_reads.run(run_id, tenant=parts.tenant)
    headers = {"Location": f"/v1/runs/{run_id}", "ETag": shown.etag}
    headers |= replay_header(replayed=replayed)
    answer = Response(shown.body, status.HTTP_202_ACCEPTED, headers, media_type="application/json")
    applied(answer, seconds)
    return answer


def _polled(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "no-cache"}
