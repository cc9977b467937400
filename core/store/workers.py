"""Heartbeats of workers."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.store import lifecycle
from core.store.session import now
from core.store.tables import WorkerRow

ALIVE_SECONDS = 20.0
FORGOTTEN_SECONDS = 24 * 3600.0


def beat(session: Session, worker_id: str, *, queues: Sequence[str], device: str) -> None:
    """Say that this worker is alive."""
    beaten = update(WorkerRow).where(WorkerRow.id == worker_id).values(heartbeat_at=now(), device=device)
    if session.execute(beaten.returning(WorkerRow.id)).first() is None:
        at = lifecycle.clock(session)
        session.add(WorkerRow(id=worker_id, queues=list(queues), device=device, started_at=at, heartbeat_at=at))
        session.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < at - FORGOTTEN_SECONDS))


def leave(session: Session, worker_id: str) -> None:
    """Say that this worker has stopped."""
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


def alive(session: Session) -> list[WorkerRow]:
    """Workers heard of lately."""
    return list(session.scalars(select(WorkerRow).where(WorkerRow.heartbeat_at > now() - ALIVE_SECONDS)))
