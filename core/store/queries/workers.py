"""Heartbeats of workers."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.store.database.session import clock, now
from core.store.database.tables import WorkerRow
from core.version import installed_version

ALIVE_SECONDS = 20.0
"""A worker is alive if its last heartbeat is younger: four heartbeats of the default 5 seconds.

Chosen by hand; not measured.
"""

FORGOTTEN_SECONDS = 24 * 3600.0
"""The row of a worker without heartbeats is deleted after this time. Chosen by hand: until then the row is listed."""


def beat(
    session: Session,
    worker_id: str,
    *,
    queues: Sequence[str],
    device: str,
    concurrency: int = 1,
    doing: Sequence[dict[str, str]] = (),
) -> None:
    """Record a heartbeat of a worker, and the tasks that it runs.

    Args:
        session: transaction of the caller.
        worker_id: id of the worker.
        queues: queues that the worker serves.
        device: cuda or cpu.
        concurrency: largest number of tasks that the worker runs at once.
        doing: tasks that the worker runs now, each as `{"run": …, "stage": …}`.
    """
    values = {
        "queues": list(queues),
        "device": device,
        "version": installed_version(),
        "concurrency": concurrency,
        "doing": list(doing),
    }
    beaten = update(WorkerRow).where(WorkerRow.id == worker_id).values(heartbeat_at=now(), **values)
    if session.execute(beaten.returning(WorkerRow.id)).first() is None:
        at = clock(session)
        session.add(WorkerRow(id=worker_id, started_at=at, heartbeat_at=at, **values))
        session.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < at - FORGOTTEN_SECONDS))


def leave(session: Session, worker_id: str) -> None:
    """Delete the row of a worker that has stopped."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


_ALIVE = WorkerRow.heartbeat_at > now() - ALIVE_SECONDS
_SERVED = select(WorkerRow.queues).where(_ALIVE)


def alive(session: Session) -> list[WorkerRow]:
    """Return the workers that are alive."""
    return list(session.scalars(select(WorkerRow).where(_ALIVE)))


def served(session: Session) -> set[str]:
    """Return the queues that live workers serve."""
    return {queue for queues in session.connection().execute(_SERVED).scalars() for queue in queues}


def every(session: Session) -> list[tuple[WorkerRow, bool]]:
    """Return the workers of the last day, latest heartbeat first, each with True if the worker is alive."""
    query = select(WorkerRow, _ALIVE)
    return [(row, bool(living)) for row, living in session.execute(query.order_by(WorkerRow.heartbeat_at.desc()))]
