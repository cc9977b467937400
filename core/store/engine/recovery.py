"""Recovery of lost work: expired leases, lost wake-ups, and runs past their deadline."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.run import RunStatus, StageStatus
from core.errors import RunTimedOutError
from core.store.database.session import clock, now
from core.store.database.tables import RunRow, StageRow
from core.store.engine import counts, lifecycle
from core.store.engine.lifecycle import NOTIFY_AGAIN_SECONDS, QUEUED, StageId, WakeUp

LONGEST_NOTIFY_SECONDS = 600.0
"""Longest pause between two wake-ups of one stage.

Chosen by hand: a longer pause sends fewer messages and recovers later.
"""

MOST_DOUBLINGS = 10
"""Upper limit of the counter that doubles the pause, so that the pause stays a finite number."""

NOTIFIED_AT_ONCE = 16
"""Wake-ups that one sweep sends. Chosen by hand: more wake-ups reach more idle workers and fill the broker faster."""


def expired(session: Session) -> list[StageId]:
    """Return the running stages whose leases have expired."""
    query = select(StageRow.run_id, StageRow.id).where(
        StageRow.status == StageStatus.RUNNING, StageRow.lease_until < now()
    )
    return [StageId(*row) for row in session.execute(query.order_by(StageRow.run_id))]


def take_back(session: Session, lost: StageId, *, max_attempts: int) -> list[WakeUp]:
    """Queue a stage with an expired lease again, unless the stage has ended or its lease was renewed.

    Args:
        session: transaction of the caller.
        lost: the stage whose lease has expired.
        max_attempts: number of attempts after which the stage fails.

    Returns:
        Wake-ups to send after the commit.
    """
    run = lifecycle.lock(session, lost.run_id)
    row = lifecycle.stages_of(session, lost.run_id)[lost.stage_id]
    if row.status != StageStatus.RUNNING or (row.lease_until or 0) >= clock(session):
        return []
    counts.LEASE_EXPIRIES.add(session, stage=row.name)
    reason = f"worker {row.worker_id} stopped renewing its lease"
    return lifecycle.requeue(session, run, row, reason=reason, blame=True, max_attempts=max_attempts)


def notify_again(session: Session) -> list[WakeUp]:
    """Return new wake-ups for queued stages that no worker has claimed. The pause doubles with each wake-up of a stage.

    At most NOTIFIED_AT_ONCE wake-ups are returned, those of the earliest runs first. More are not needed: one
    wake-up makes a worker run stages until none is queued.
    """
    unclaimed = (
        select(StageRow)
        .where(StageRow.status == QUEUED, StageRow.notify_at < now())
        .order_by(StageRow.run_id, StageRow.position)
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

    Writes of the workers that run its stages are fenced. These workers stop when they next read their lease state.

    Returns:
        An empty list: there is no wake-up to send.
    """
    run = lifecycle.lock(session, run_id)
    if run_id not in overdue(session, deadline_seconds=deadline_seconds):  # the run has ended or was retried
        return []
    for row in lifecycle.stages_of(session, run_id).values():
        if row.status == StageStatus.RUNNING:
            row.token += 1
            lifecycle.end_stage(session, row, StageStatus.FAILED)
    lifecycle.drop_unfinished(lifecycle.stages_of(session, run_id).values())
    detail = (
        f"The run did not finish within {deadline_seconds / 3600:.3g} hours (EMBEDREEL_DEADLINE_SECONDS). Retry the "
        "run: finished stages are kept. Or make the run smaller."
    )
    lifecycle.move(session, run, RunStatus.FAILED, error=RunTimedOutError(detail))
    return []
