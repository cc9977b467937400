"""Heartbeats of workers."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.store.database.session import now
from core.store.database.tables import WorkerRow
from core.store.engine import lifecycle
from core.version import installed_version

ALIVE_SECONDS = 20.0
FORGOTTEN_SECONDS = 24 * 3600.0


def beat(
    session: Session,
    worker_id: str,
    *,
    queues: Sequence[str],
    device: str,
    concurrency: int = 1,
    doing: Sequence[dict[str, str]] = (),
) -> None:
    """Say that this worker is alive, and what it does.

    Args:
        concurrency: stages that it runs at once.
        doing: those that it runs now, each as `{"run": …, "stage": …}`.
    """
    told = {
        "queues": list(queues),
        "device": device,
        "version": installed_version(),
        "concurrency": concurrency,
        "doing": list(doing),
    }
    beaten = update(WorkerRow).where(WorkerRow.id == worker_id).values(heartbeat_at=now(), **told)
    if session.execute(beaten.returning(WorkerRow.id)).first() is None:
        at = lifecycle.clock(session)
        session.add(WorkerRow(id=worker_id, started_at=at, heartbeat_at=at, **told))
        session.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < at - FORGOTTEN_SECONDS))


def leave(session: Session, worker_id: str) -> None:
    """Say that this worker has stopped."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


_ALIVE = WorkerRow.heartbeat_at > now() - ALIVE_SECONDS
_SERVED = select(WorkerRow.queues).where(_ALIVE)


def alive(session: Session) -> list[WorkerRow]:
    """Workers heard of lately."""
    return list(session.scalars(select(WorkerRow).where(_ALIVE)))


def served(session: Session) -> set[str]:
    """Queues of the workers that were heard of lately."""
    return {queue for queues in session.connection().execute(_SERVED).scalars() for queue in queues}


def every(session: Session) -> list[tuple[WorkerRow, bool]]:
    """Workers heard of in the last day, the latest heartbeat first, and whether each is alive."""
    query = select(WorkerRow, _ALIVE)
    return [(row, bool(living)) for row, living in session.execute(query.order_by(WorkerRow.heartbeat_at.desc()))]
