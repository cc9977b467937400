"""The route that lists workers and their current stages."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.access.services import service
from api.http.times import optional_timestamp
from core.store.database.session import Database
from core.store.database.tables import WorkerRow
from core.store.queries import workers

router = APIRouter(prefix="/v1/workers", tags=["workers"])


class DoingOut(BaseModel):
    """A stage that a worker is running."""

    run: str
    stage: str


class WorkerOut(BaseModel):
    """A worker, as of its last heartbeat."""

    id: Annotated[str, Field(description="Host name, process id and a random part.")]
    queues: list[str]
    device: Annotated[str, Field(description="cuda or cpu.")]
    version: Annotated[str, Field(description="Version of Embedreel.")]
    concurrency: Annotated[int, Field(description="Maximum number of stages at a time.")]
    doing: Annotated[list[DoingOut], Field(description="Stages at the last heartbeat; empty if not alive.")]
    started_at: datetime | None
    heartbeat_at: datetime | None
    alive: Annotated[
        bool, Field(description=f"True if the last heartbeat is less than {workers.ALIVE_SECONDS:.0f} s old.")
    ]


class WorkerList(BaseModel):
    """Workers, latest heartbeat first."""

    workers: list[WorkerOut]


@router.get("", operation_id="listWorkers", summary="List workers")
def every(database: Annotated[Database, Depends(service(Database))]) -> WorkerList:
    """List the workers and the stages that they are running, latest heartbeat first.

    A worker that stops in order is removed. A worker without heartbeats stays in the list for at least a day.
    """
    with database.reading() as session:
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
