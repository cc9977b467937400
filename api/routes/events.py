"""What happened to a run: as JSON, and as a stream of server-sent events."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from api.describe import moment
from api.ids import run_of
from api.wiring import Parts, PartsOf
from core.domain.run import RunStatus
from core.errors import NotFoundError, StorageUnavailableError
from core.store import runs
from core.store.session import Database

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/runs/{run_id}", tags=["events"])

POLL_SECONDS = 0.5
PING_SECONDS = 15.0
BATCH = 500
MAX_SEQ = 2**31 - 1


class EventOut(BaseModel):
    """Something that happened; `seq` counts from 1 without gaps."""

    seq: int
    type: str
    at: datetime | None
    data: dict[str, Any]


class EventList(BaseModel):
    """Events in order; `last` is what to ask for next as `after`."""

    events: list[EventOut]
    last: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Events after some number, and whether more may come."""

    events: list[EventOut]
    ended: bool


@router.get("/events", operation_id="listEvents", summary="List events")
def events(
    parts: PartsOf,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ, description="Number of the last event that is known.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = BATCH,
) -> EventList:
    """Events after a number, in order."""
    heard = hear(parts.database, run_id, after=after, limit=limit)
    return EventList(events=heard.events, last=heard.events[-1].seq if heard.events else after)


@router.get(
    "/stream",
    operation_id="streamEvents",
    summary="Stream events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events; the data of each is JSON.", "content": {"text/event-stream": {}}},
        204: {"description": "The run has ended, and the client has heard all."},
    },
)
async def stream(
    parts: PartsOf,
    run_id: str,
    last_event_id: Annotated[int, Header(ge=0, le=MAX_SEQ)] = 0,
) -> Response:
    """Events as they happen, from the one after Last-Event-ID. Ends when the run has ended."""
    first = await run_in_threadpool(hear, parts.database, run_id, after=last_event_id, limit=BATCH)
    if first.ended and not first.events and last_event_id:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return StreamingResponse(
        _follow(parts, run_id, first, after=last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _follow(parts: Parts, run_id: str, heard: Heard, *, after: int) -> AsyncIterator[bytes]:
    sent_at = time.monotonic()
    while True:
        for event in heard.events:
            after = event.seq
            yield _as_sse(event)
            sent_at = time.monotonic()
        if heard.ended or parts.stopping.is_set():
            return
        if len(heard.events) < BATCH:
            await asyncio.sleep(POLL_SECONDS)
        if time.monotonic() - sent_at >= PING_SECONDS:
            yield format_sse_event(comment="ping")
            sent_at = time.monotonic()
        try:
            heard = await run_in_threadpool(hear, parts.database, run_id, after=after, limit=BATCH)
        except StorageUnavailableError as error:
            log.warning("stream of %s: %s", run_id, error.detail)
            heard = Heard([], ended=False)
        except NotFoundError:
            return


def hear(database: Database, run_id: str, *, after: int, limit: int) -> Heard:
    """Up to `limit` events after number `after`.

    The run is read before its events: if it has ended by then, the event that says so is among them.
    """
    with database.reading() as session:
        run = run_of(session, run_id)
        rows = runs.events(session, run_id, after=after, limit=limit)
    found = [EventOut(seq=row.seq, type=row.type, at=moment(row.at), data=row.data) for row in rows]
    return Heard(found, ended=RunStatus(run.status).terminal and len(found) < limit)


def _as_sse(event: EventOut) -> bytes:
    return format_sse_event(id=str(event.seq), event=event.type, data_str=json.dumps(event.model_dump(mode="json")))
