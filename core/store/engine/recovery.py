"""Recovery of lost work: expired leases, lost wake-ups, and runs past their deadline."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.run import RunStatus, TaskStatus
from core.errors import RunTimedOutError
from core.store.database.session import clock, now
from core.store.database.tables import RunRow, TaskRow
from core.store.engine import counts, lifecycle
from core.store.engine.lifecycle import NOTIFY_AGAIN_SECONDS, QUEUED, TaskId, WakeUp

LONGEST_NOTIFY_SECONDS = 600.0
"""Longest pause between two wake-ups of one task.

Chosen by hand: a longer pause sends fewer messages and recovers later.
"""

MOST_DOUBLINGS = 10
"""Upper limit of the counter that doubles the pause, so that the pause stays a finite number."""

NOTIFIED_AT_ONCE = 16
"""Wake-ups that one sweep sends. Chosen by hand: more wake-ups reach more idle workers and fill the broker faster."""


def expired(session: Session) -> list[TaskId]:
    """Return the running tasks whose leases have expired."""
    query = select(TaskRow.run_id, TaskRow.id).where(TaskRow.status == TaskStatus.RUNNING, TaskRow.lease_until < now())
    return [TaskId(*row) for row in session.execute(query.order_by(TaskRow.run_id))]


def take_back(session: Session, lost: TaskId, *, max_attempts: int) -> list[WakeUp]:
    """Queue a task with an expired lease again, unless the task has ended or its lease was renewed.

    Args:
        session: transaction of the caller.
        lost: the task whose lease has expired.
        max_attempts: number of attempts after which the task fails.

    Returns:
        Wake-ups to send after the commit.
    """
    run = lifecycle.lock(session, lost.run_id)
    row = lifecycle.tasks_of(session, lost.run_id)[lost.task_id]
    if row.status != TaskStatus.RUNNING or (row.lease_until or 0) >= clock(session):
        return []
    counts.LEASE_EXPIRIES.add(session, stage=row.name)
    reason = f"worker {row.worker_id} stopped renewing its lease"
    return lifecycle.requeue(session, run, row, reason=reason, blame=True, max_attempts=max_attempts)


def notify_again(session: Session) -> list[WakeUp]:
    """Return new wake-ups for queued tasks that no worker has claimed. The pause doubles with each wake-up of a task.

    At most NOTIFIED_AT_ONCE wake-ups are returned, those of the earliest runs first. More are not needed: one
    wake-up makes a worker run tasks until none is queued.
    """
    unclaimed = (
        select(TaskRow)
        .where(TaskRow.status == QUEUED, TaskRow.notify_at < now())
        .order_by(TaskRow.run_id, TaskRow.position)
        .limit(NOTIFIED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    at = clock(session)
    wake_ups = []
    for row in session.scalars(unclaimed):
        counts.WAKE_UPS_SENT_AGAIN.add(session, queue=row.queue)
        row.notifications = min(row.notifications + 1, MOST_DOUBLINGS)
        row.notify_at = at + min(NOTIFY_AGAIN_SECONDS * 2**row.notifications, LONGEST_NOTIFY_SECONDS)
        wake_ups.append(WakeUp(row.run_id, row.id, row.queue))
    return wake_ups


def overdue(session: Session, *, deadline_seconds: float) -> list[str]:
    """Return the ids of runs that have been running for longer than `deadline_seconds`."""
    active = RunRow.status.in_([RunStatus.RUNNING, RunStatus.CANCELLING])
    return list(session.scalars(select(RunRow.id).where(active, RunRow.started_at < now() - deadline_seconds)))


def time_out(session: Session, run_id: str, *, deadline_seconds: float) -> list[WakeUp]:
    """Fail a run that is past its deadline.

    Writes of the workers that run its tasks are fenced. These workers stop when they next read their lease state.

    Returns:
        An empty list: there is no wake-up to send.
    """
    run = lifecycle.lock(session, run_id)
    if run_id not in overdue(session, deadline_seconds=deadline_seconds):  # the run has ended or was retried
        return []
    for row in lifecycle.tasks_of(session, run_id).values():
        if row.status == TaskStatus.RUNNING:
            row.token += 1
            lifecycle.end_task(session, row, TaskStatus.FAILED)
    lifecycle.drop_unfinished(lifecycle.tasks_of(session, run_id).values())
    detail = (
        f"The run did not finish within {deadline_seconds / 3600:.3g} hours (EMBEDREEL_DEADLINE_SECONDS). Retry the "
        "run: finished tasks are kept. Or make the run smaller."
    )
    lifecycle.move(session, run, RunStatus.FAILED, error=RunTimedOutError(detail))
    return []
