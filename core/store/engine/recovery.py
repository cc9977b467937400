"""What was lost: leases that ran out, bells that nobody heard, runs that go on for too long."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.run import RunStatus, StageStatus
from core.errors import RunTimedOutError
from core.store.database.session import now
from core.store.database.tables import RunRow, StageRow
from core.store.engine import counts, lifecycle
from core.store.engine.lifecycle import NOTIFY_AGAIN_SECONDS, QUEUED, StageId, WakeUp

LONGEST_NOTIFY_SECONDS = 600.0
MOST_DOUBLINGS = 10
NOTIFIED_AT_ONCE = 16


def expired(session: Session) -> list[StageId]:
    """Running stages whose lease has run out."""
    query = select(StageRow.run_id, StageRow.id).where(
        StageRow.status == StageStatus.RUNNING, StageRow.lease_until < now()
    )
    return [StageId(*row) for row in session.execute(query.order_by(StageRow.run_id))]


def take_back(session: Session, lost: StageId, *, max_attempts: int) -> list[WakeUp]:
    """Queue a stage again whose lease has run out, unless it has been settled meanwhile."""
    run = lifecycle.lock(session, lost.run_id)
    row = lifecycle.stages_of(session, lost.run_id)[lost.stage_id]
    if row.status != StageStatus.RUNNING or (row.lease_until or 0) >= lifecycle.clock(session):
        return []
    counts.LEASE_EXPIRIES.add(session, stage=row.name)
    reason = f"worker {row.worker_id} was not heard of any more"
    return lifecycle.requeue(session, run, row, reason=reason, blame=True, max_attempts=max_attempts)


def notify_again(session: Session) -> list[WakeUp]:
    """Bells for queued stages whose bell nobody has heard for too long; each one's next comes after twice the pause.

    No more than NOTIFIED_AT_ONCE, the earliest runs' first: whoever hears a bell works until nothing is queued.
    """
    unheard = (
        select(StageRow)
        .where(StageRow.status == QUEUED, StageRow.notify_at < now())
        .order_by(StageRow.run_id, StageRow.position)
        .limit(NOTIFIED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    at = lifecycle.clock(session)
    wake_ups = []
    for row in session.scalars(unheard):
        counts.WAKE_UPS_SENT_AGAIN.add(session, queue=row.queue)
        row.notifications = min(row.notifications + 1, MOST_DOUBLINGS)
        row.notify_at = at + min(NOTIFY_AGAIN_SECONDS * 2**row.notifications, LONGEST_NOTIFY_SECONDS)
        wake_ups.append(WakeUp(row.run_id, row.id, row.queue))
    return wake_ups


def overdue(session: Session, *, deadline_seconds: float) -> list[str]:
    """Ids of runs that have been running for longer than that."""
    going = RunRow.status.in_([RunStatus.RUNNING, RunStatus.CANCELLING])
    return list(session.scalars(select(RunRow.id).where(going, RunRow.started_at < now() - deadline_seconds)))


def time_out(session: Session, run_id: str, *, deadline_seconds: float) -> list[WakeUp]:
    """End a run that has had its time; whoever works on it is fenced out, and stops at its next look."""
    run = lifecycle.lock(session, run_id)
    if run_id not in overdue(session, deadline_seconds=deadline_seconds):  # it has ended, or was retried meanwhile
        return []
    for row in lifecycle.stages_of(session, run_id).values():
        if row.status == StageStatus.RUNNING:
            row.token += 1
            lifecycle.end_stage(session, row, StageStatus.FAILED)
    lifecycle.drop_unfinished(lifecycle.stages_of(session, run_id).values())
    detail = (
        f"The run was not done after {deadline_seconds / 3600:.3g} hours (EMBEDREEL_DEADLINE_SECONDS). Retry it: what "
        "is finished is kept. Or make it smaller."
    )
    lifecycle.move(session, run, RunStatus.FAILED, error=RunTimedOutError(detail))
    return []
