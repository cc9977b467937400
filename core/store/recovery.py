"""What was lost: leases that ran out, bells that nobody heard, runs that go on for too long."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.run import RunStatus, StageStatus
from core.errors import RunTimedOutError
from core.store import counted, lifecycle
from core.store.lifecycle import RING_AGAIN_SECONDS, Bell, StageId
from core.store.session import now
from core.store.tables import RunRow, StageRow

LONGEST_RING_SECONDS = 600.0
MOST_DOUBLINGS = 10


def expired(session: Session) -> list[StageId]:
    """Running stages whose lease has run out."""
    query = select(StageRow.run_id, StageRow.id).where(
        StageRow.status == StageStatus.RUNNING, StageRow.lease_until < now()
    )
    return [StageId(*row) for row in session.execute(query.order_by(StageRow.run_id))]


def take_back(session: Session, lost: StageId, *, max_attempts: int) -> list[Bell]:
    """Queue a stage again whose lease has run out, unless it has been settled meanwhile."""
    run = lifecycle.lock(session, lost.run_id)
    row = lifecycle.stages_of(session, lost.run_id)[lost.stage_id]
    if row.status != StageStatus.RUNNING or (row.lease_until or 0) >= lifecycle.clock(session):
        return []
    counted.LEASE_EXPIRIES.add(session, stage=row.name)
    reason = f"worker {row.worker_id} was not heard of any more"
    return lifecycle.requeue(session, run, row, reason=reason, blame=True, max_attempts=max_attempts)


def silent(session: Session) -> list[StageId]:
    """Queued stages whose bell nobody has heard for too long."""
    query = select(StageRow.run_id, StageRow.id).where(StageRow.status == StageStatus.QUEUED, StageRow.ring_at < now())
    return [StageId(*row) for row in session.execute(query)]


def ring_again(session: Session, unheard: StageId) -> list[Bell]:
    """A bell for a queued stage; the next one comes after twice the pause."""
    row = session.get(StageRow, (unheard.run_id, unheard.stage_id), with_for_update=True, populate_existing=True)
    if row is None or row.status != StageStatus.QUEUED:
        return []
    counted.BELLS_RUNG_AGAIN.add(session, queue=row.queue)
    row.rings = min(row.rings + 1, MOST_DOUBLINGS)
    pause = min(RING_AGAIN_SECONDS * 2**row.rings, LONGEST_RING_SECONDS)
    row.ring_at = lifecycle.clock(session) + pause
    return [Bell(unheard.run_id, unheard.stage_id, row.name, row.queue)]


def overdue(session: Session, *, deadline_seconds: float) -> list[str]:
    """Ids of runs that have been running for longer than that."""
    going = RunRow.status.in_([RunStatus.RUNNING, RunStatus.CANCELLING])
    return list(session.scalars(select(RunRow.id).where(going, RunRow.started_at < now() - deadline_seconds)))


def time_out(session: Session, run_id: str, *, deadline_seconds: float) -> list[Bell]:
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
