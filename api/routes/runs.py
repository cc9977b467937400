"""Runs: submit, list, show, cancel, retry, draw otherwise, delete."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Query, Request, Response, status

from api.files import matches
from api.schemas import EXAMPLE, RenderCreate, RunCreate, RunOut, RunPage
from api.wiring import PartsOf

router = APIRouter(prefix="/v1/runs", tags=["runs"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key and body make one run, however often they are sent; kept for a day.",
    ),
]

SUBMITTED = {
    "minimal": {"summary": "Only what is required", "value": {"dataset": "digits"}},
    "complete": {"summary": "Every section", "value": EXAMPLE},
}


@router.post("", operation_id="submitRun", summary="Submit a run", status_code=status.HTTP_202_ACCEPTED)
def submit(
    parts: PartsOf,
    response: Response,
    body: Annotated[RunCreate, Body(openapi_examples=SUBMITTED)],
    idempotency_key: IdempotencyKey = None,
) -> RunOut:
    """Accept a run, with its plan and the addresses of what it will make."""
    return _accepted(response, parts.service.submit(body, idempotency_key=idempotency_key))


@router.get("", operation_id="listRuns", summary="List runs, newest first")
def page(
    parts: PartsOf,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> RunPage:
    """Some runs; `next_cursor` is null on the last page."""
    return parts.service.page(cursor=cursor, limit=limit)


@router.get(
    "/{run_id}",
    operation_id="getRun",
    summary="Show a run",
    response_model=RunOut,
    responses={304: {"description": "The version that the client has (If-None-Match) is the newest."}},
)
def show(parts: PartsOf, request: Request, response: Response, run_id: str) -> RunOut | Response:
    """A run with its stages, progress and time left. Poll it with If-None-Match."""
    run = parts.service.describe(run_id)
    etag = _etag(run)
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if matches(request, etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    response.headers.update(headers)
    return run


@router.post("/{run_id}/cancel", operation_id="cancelRun", summary="Cancel a run", status_code=status.HTTP_202_ACCEPTED)
def cancel(parts: PartsOf, response: Response, run_id: str) -> RunOut:
    """Stop a run within 25 seconds. One that has ended stays as it is."""
    return _accepted(response, parts.service.cancel(run_id))


@router.post("/{run_id}/retry", operation_id="retryRun", summary="Retry a run", status_code=status.HTTP_202_ACCEPTED)
def retry(parts: PartsOf, response: Response, run_id: str) -> RunOut:
    """Start a failed or cancelled run again; its finished stages are kept."""
    return _accepted(response, parts.service.retry(run_id))


@router.post(
    "/{run_id}/renders",
    operation_id="drawRun",
    summary="Draw a run otherwise",
    status_code=status.HTTP_202_ACCEPTED,
)
def draw(
    parts: PartsOf,
    response: Response,
    run_id: str,
    body: RenderCreate,
    idempotency_key: IdempotencyKey = None,
) -> RunOut:
    """Make a new run that scores, projects, aligns or draws what this one has learnt; nothing is trained again."""
    return _accepted(response, parts.service.draw(run_id, body, idempotency_key=idempotency_key))


@router.delete("/{run_id}", operation_id="deleteRun", summary="Delete a run", status_code=status.HTTP_204_NO_CONTENT)
def remove(parts: PartsOf, run_id: str) -> None:
    """Delete a run that has ended. What it made goes too, unless another run shares it."""
    parts.service.remove(run_id)


def _accepted(response: Response, run: RunOut) -> RunOut:
    response.headers["Location"] = run.links.self
    response.headers["ETag"] = _etag(run)
    return run


def _etag(run: RunOut) -> str:
    """The version. Weak, since the time left is measured anew for each answer; another one while no worker runs."""
    return f'W/"{run.version}{"-waiting" if run.notice else ""}"'
