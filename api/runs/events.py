"""Routes for a run's events: as JSON, and as a stream of server-sent events."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response, status
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from api.http.ids import run_of
from api.http.times import optional_timestamp
from api.runs.polling import Reads, RunReads
from core.domain.run import RunStatus
from core.errors import NotFoundError, StorageUnavailableError
from core.store.database.session import Database
from core.store.queries import runs

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/runs/{run_id}", tags=["events"])

PING_SECONDS = 15.0
"""Interval of pings in a stream without events, seconds. Chosen by hand; not measured."""

RETRY_MILLISECONDS = 2000
"""Time after which a client reconnects a broken stream, sent to it as `retry`. Chosen by hand; not measured."""

BATCH = 500
"""Maximum number of events that a stream reads at a time. Chosen by hand; not measured."""

AWAY_SECONDS = 1.0
"""Pause of a stream after the database did not answer, seconds. Chosen by hand; not measured."""

PING = format_sse_event(comment="ping")
MAX_SEQ = 2**31 - 1
"""Largest value of the database column `seq`, a 32-bit integer."""


class EventOut(BaseModel):
    """An event of a run. `seq` counts from 1 without gaps."""

    seq: int
    type: str
    at: datetime | None
    data: dict[str, Any]


class EventList(BaseModel):
    """Events of a run, in order. Send `last` as `after` of the next request."""

    events: list[EventOut]
    last: int


@dataclass(frozen=True, slots=True)
class EventsRead:
    """Events of a run.

    Attributes:
        events: events in order.
        version: the run's version, read before the events.
        ended: the run has ended, and these are its last events.
    """

    events: list[EventOut]
    version: int
    ended: bool


@router.get("/events", operation_id="listEvents", summary="List events")
def events(
    reads: Reads,
    run_id: str,
    after: Annotated[
        int, Query(ge=0, le=MAX_SEQ, description="`seq` of the last known event. 0 lists all events.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = BATCH,
) -> EventList:
    """List the events of a run after `after`, in order."""
    found = read_events(reads.database, run_id, reads.tenant, after=after, limit=limit)
    return EventList(events=found.events, last=found.events[-1].seq if found.events else after)


@router.get(
    "/stream",
    operation_id="streamEvents",
    summary="Stream events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events. The data of each event is an event as JSON.",
            "content": {"text/event-stream": {}},
        },
        204: {"description": "The run has ended, and the client has all events."},
    },
)
async def stream(
    reads: Reads,
    run_id: str,
    last_event_id: Annotated[int, Header(ge=0, le=MAX_SEQ)] = 0,
) -> Response:
    """Stream events as they happen, starting after Last-Event-ID. The stream ends when the run has ended."""
    first = await _read_events(reads, run_id, after=last_event_id)
    if first.ended and not first.events and last_event_id:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return StreamingResponse(
        _follow(reads, run_id, first, after=last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _follow(reads: RunReads, run_id: str, found: EventsRead, *, after: int) -> AsyncIterator[bytes]:
    """Yield a run's events as server-sent events until the run has ended.

    Each stream reads its own events, at the speed of its client. A slow client therefore does not delay others.
    """
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    while True:
        for event in found.events:
            after = event.seq
            yield _as_sse(event)
        if found.ended or reads.stopping.is_set():
            return
        try:
            if len(found.events) < BATCH and not await _changed(reads, run_id, found.version):
                yield PING
            found = await _read_events(reads, run_id, after=after)
        except StorageUnavailableError as error:
            log.warning("stream of %s: %s", run_id, error.detail)
            await asyncio.sleep(AWAY_SECONDS)
            found = replace(found, events=[])
            yield PING
        except NotFoundError:
            return


async def _changed(reads: RunReads, run_id: str, version: int) -> bool:
    """Wait for up to PING_SECONDS. Return True if the run's version has changed."""
    seen = await reads.until(run_id, lambda seen: seen.version != version, seconds=PING_SECONDS)
    return seen.version != version


async def _read_events(reads: RunReads, run_id: str, *, after: int) -> EventsRead:
    """Call `read_events` in the thread that all streams share, so that many streams do not block other requests."""
    read = partial(read_events, reads.database, run_id, reads.tenant, after=after, limit=BATCH)
    return await asyncio.get_running_loop().run_in_executor(reads.streams, read)


def read_events(database: Database, run_id: str, tenant: str, *, after: int, limit: int) -> EventsRead:
    """Read up to `limit` events after number `after`.

    The run is read before its events. If the run has ended, its last event is therefore stored already.

    Raises:
        NotFoundError: the tenant has no such run.
        StorageUnavailableError: the database does not answer.
    """
    with database.reading() as session:
        run = run_of(session, run_id, tenant)
        rows = runs.events(session, run_id, after=after, limit=limit)
    found = [EventOut(seq=row.seq, type=row.type, at=optional_timestamp(row.at), data=row.data) for row in rows]
    return EventsRead(found, version=run.version, ended=RunStatus(run.status).terminal and len(found) < limit)


def _as_sse(event: EventOut) -> bytes:
    return format_sse_event(id=str(event.seq), event=event.type, data_str=json.dumps(event.model_dump(mode="json")))
