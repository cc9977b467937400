"""Current values of the service's gauges. Each gauge is one query that uses an index."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.domain.run import TaskStatus
from core.store.database.session import now
from core.store.database.tables import DeliveryRow, RunRow, TaskRow
from core.store.queries import workers


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued tasks of a queue: their number, and the waiting time of the oldest in seconds."""

    tasks: int = 0
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """Values that rise and fall.

    Attributes:
        runs: number of runs by status.
        tasks: number of queued and running tasks by stage and status. Counters count the ended tasks.
        queues: queued tasks by queue.
        workers: number of live workers by queue and device.
        deliveries: number of pending deliveries.
    """

    runs: dict[str, int]
    tasks: dict[tuple[str, str], int]
    queues: dict[str, Waiting]
    workers: dict[tuple[str, str], int]
    deliveries: int


def measure(session: Session) -> Gauges:
    """Return the current values of all gauges."""
    return Gauges(
        runs=_runs(session),
        tasks=_tasks(session),
        queues=_queues(session),
        workers=_workers(session),
        deliveries=_deliveries(session),
    )


def _runs(session: Session) -> dict[str, int]:
    query = select(RunRow.status, func.count()).group_by(RunRow.status)
    return {status: count for status, count in session.execute(query)}  # noqa: C416 - mypy does not accept rows as pairs


def _tasks(session: Session) -> dict[tuple[str, str], int]:
    query = (
        select(TaskRow.name, TaskRow.status, func.count())
        .where(TaskRow.status.in_([TaskStatus.QUEUED, TaskStatus.RUNNING]))
        .group_by(TaskRow.name, TaskRow.status)
    )
    return {(name, status): count for name, status, count in session.execute(query)}


def _queues(session: Session) -> dict[str, Waiting]:
    query = (
        select(TaskRow.queue, func.count(), now() - func.min(TaskRow.queued_at))
        .where(TaskRow.status == TaskStatus.QUEUED)
        .group_by(TaskRow.queue)
    )
    return {queue: Waiting(count, max(0.0, age)) for queue, count, age in session.execute(query)}


def _workers(session: Session) -> dict[tuple[str, str], int]:
    return Counter((queue, worker.device) for worker in workers.alive(session) for queue in worker.queues)


def _deliveries(session: Session) -> int:
    query = select(func.count()).select_from(DeliveryRow).where(DeliveryRow.status == "pending")
    return session.execute(query).scalar_one()
