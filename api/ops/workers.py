"""Workers: who is there, and what they do."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.http.times import optional_timestamp
from api.wiring import PartsOf
from core.store.database.tables import WorkerRow
from core.store.queries import workers

router = APIRouter(prefix="/v1/workers", tags=["workers"])


class DoingOut(BaseModel):
    """A stage under way."""

    run: str
    stage: str


class WorkerOut(BaseModel):
    """A worker, as it last told of itself."""

    id: Annotated[str, Field(description="Its host's name, process id, and a random part.")]
    queues: list[str]
    device: Annotated[str, Field(description="cuda or cpu.")]
    version: Annotated[str, Field(description="Of Embedreel.")]
    concurrency: Annotated[int, Field(description="Stages that it runs at once.")]
    doing: Annotated[list[DoingOut], Field(description="Those that it ran at its last heartbeat.")]
    started_at: datetime | None
    heartbeat_at: datetime | None
    alive: Annotated[bool, Field(description=f"Heard of in the last {workers.ALIVE_SECONDS:.0f} s.")]


class WorkerList(BaseModel):
    """Workers heard of in the last day, the latest heartbeat first."""

    workers: list[WorkerOut]


@router.get("", operation_id="listWorkers", summary="List workers")
def every(parts: PartsOf) -> WorkerList:
    """All workers of the last day that did not take their leave, and the stages that they run now."""
    with parts.database.reading() as session:
        return WorkerList(workers=[_shown(row, alive=alive) for row, alive in workers.every(session)])


def _shown(row: WorkerRow, *, alive: bool) -> WorkerOut:
    return WorkerOut(
        id=row.id,
        queues=row.queues,
        device=row.device,
        version=row.version,
        concurrency=row.concurrency,
        doing=[DoingOut(**stage) for stage in row.doing] if alive else [],
        started_at=optional_timestamp(row.started_at),
        heartbeat_at=optional_timestamp(row.heartbeat_at),
        alive=alive,
    )
