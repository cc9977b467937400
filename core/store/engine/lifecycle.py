"""State changes of runs and stages.

Each function works inside the transaction of its caller. The caller calls `lock` first, so that PostgreSQL has one
writer for each run. SQLite has one writer for the whole database. Functions return wake-ups, and the caller sends them
after the commit.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal, select, update
from sqlalchemy.orm import Session

from core.domain.plan import Plan
from core.domain.run import TRANSITIONS, RunStatus, StageStatus
from core.errors import EmbedreelError, NotFoundError, StageLostError
from core.store.database.session import clock
from core.store.database.tables import EventRow, RunRow, StageRow
from core.store.engine import counts, outbox

NOTIFY_AGAIN_SECONDS = 15.0
"""Time from the wake-up of a stage that no worker claims to the next wake-up, seconds. Chosen by hand; not measured."""

PLANS_KEPT = 16
"""Number of parsed plans that a process keeps. Chosen by hand: a worker handles few runs at a time.

Parsing the plan of 600 frames takes 3 ms, and each of its stages needs the plan several times.
"""


_plans: dict[str, Plan] = {}
_plans_lock = threading.Lock()

QUEUED = literal(StageStatus.QUEUED.value, literal_execute=True)
"""Literal for queries. With a parameter, the database would not use the partial index of queued stages."""


class StageId(NamedTuple):
    """Identifies a stage of a run."""

    run_id: str
    stage_id: str


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A notification to workers that a stage is queued."""

    run_id: str
    stage_id: str
    queue: str

    @property
    def stage(self) -> StageId:
        """The queued stage."""
        return StageId(self.run_id, self.stage_id)


_STAGES = select(StageRow).where(StageRow.run_id == bindparam("run_id")).order_by(StageRow.position)
_THESE_STAGES = _STAGES.where(StageRow.id.in_(bindparam("stage_ids", expanding=True)))


def lock(session: Session, run_id: str) -> RunRow:
    """Lock a run against other writers until the commit, increment its version, and return the run.

    Raises:
        NotFoundError: there is no such run.
    """
    raised = update(RunRow).where(RunRow.id == run_id).values(version=RunRow.version + 1).returning(RunRow.id)
    if session.execute(raised).first() is None:
        raise NotFoundError(f"There is no run {run_id}.")
    return session.get_one(RunRow, run_id, populate_existing=True)


def plan_of(run: RunRow) -> Plan:
    """Return the plan that was made when the run was accepted.

    A plan never changes, so a process parses it once. The plan of a run that was read before is not read again.
    """
    plan = _plans.get(run.id)
    if plan is None:
        plan = Plan.model_validate(run.plan)
        with _plans_lock:
            _plans[run.id] = plan
            if len(_plans) > PLANS_KEPT:
                del _plans[next(iter(_plans))]
    return plan


def stages_of(session: Session, run_id: str, *, only: Sequence[str] | None = None) -> dict[str, StageRow]:
    """Return the stages of a run by id, in the order of the plan.

    Args:
        session: transaction of the caller.
        run_id: the run.
        only: ids of the stages to return; None returns all stages.
    """
    query = _STAGES if only is None else _THESE_STAGES
    rows = session.scalars(query, {"run_id": run_id, "stage_ids": only}, execution_options={"populate_existing": True})
    return {row.id: row for row in rows}


def emit(session: Session, run: RunRow, kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON values
    """Append an event, and the webhook deliveries of the event.

    Numbers of events have no gaps because the run is locked.
    """
    run.event_seq += 1
    append_event_at_current_number(session, run, kind, **data)


def append_event_at_current_number(session: Session, run: RunRow, kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON values
    """Append an event with the current event number of the run, and its webhook deliveries. The run does not change."""
    event = EventRow(run_id=run.id, seq=run.event_seq, type=kind, at=clock(session), data=data)
    session.add(event)
    outbox.enqueue(session, run, event)


def move(session: Session, run: RunRow, status: RunStatus, *, error: EmbedreelError | None = None) -> None:
    """Change the status of a run and append an event. A terminal status also sets `finished_at`.

    Args:
        session: transaction of the caller.
        run: the locked run.
        status: the new status.
        error: why the run failed; None if it did not fail.


    Raises:
        AssertionError: the transition is not in TRANSITIONS. This is a defect of the caller.
    """
    if status not in TRANSITIONS[RunStatus(run.status)]:
        raise AssertionError(f"run {run.id}: {run.status} cannot become {status}")
    run.status = status
    run.error = error.describe() if error else None
    run.finished_at = clock(session) if status.terminal else None
    if status.terminal:
        counts.RUNS_ENDED.add(session, status=status)
    emit(session, run, f"run.{status}", **({"error": run.error} if error else {}))


def queue(session: Session, run: RunRow, stage: StageRow) -> WakeUp:
    """Queue a stage and return its wake-up. The sweep sends the wake-up again if it is lost."""
    stage.status = StageStatus.QUEUED
    stage.lease_until = stage.worker_id = None
    stage.notifications = 0
    stage.queued_at = clock(session)
    stage.notify_at = stage.queued_at + NOTIFY_AGAIN_SECONDS
    return WakeUp(run.id, stage.id, stage.queue)


def succeed(session: Session, run: RunRow, stage: StageRow, *, reused: bool = False) -> None:
    """Mark a stage as succeeded; its artifact is stored."""
    at = clock(session)
    counts.succeeded(session, stage, at=at, reused=reused)
    stage.status = StageStatus.SUCCEEDED
    stage.reused = reused
    stage.lease_until = stage.notify_at = None
    stage.started_at = stage.started_at or at
    stage.finished_at = at
    stage.total = stage.done = max(stage.total, 1)
    emit(session, run, "stage.succeeded", stage=stage.id, reused=reused)


def drop_unfinished(rows: Iterable[StageRow], *, but: StageRow | None = None) -> None:
    """Cancel all waiting and queued stages except `but`."""
    for row in rows:
        if row is not but and row.status in {StageStatus.WAITING, StageStatus.QUEUED}:
            row.status = StageStatus.CANCELLED
            row.notify_at = None


def end_stage(session: Session, stage: StageRow, status: StageStatus) -> None:
    """End a stage with this status and release its lease."""
    stage.status = status
    stage.lease_until = stage.notify_at = None
    stage.finished_at = clock(session)
    counts.STAGES_ENDED.add(session, stage=stage.name, outcome=status)
    session.flush()


def fail(session: Session, run: RunRow, stage: StageRow, error: EmbedreelError) -> None:
    """Fail the stage with this error. The run fails too, unless it is being cancelled or has ended."""
    end_stage(session, stage, StageStatus.FAILED)
    emit(session, run, "stage.failed", stage=stage.id, error=error.describe())
    if run.status == RunStatus.CANCELLING:
        settle_cancel(session, run)
    elif not RunStatus(run.status).terminal:
        drop_unfinished(stages_of(session, run.id).values(), but=stage)
        move(session, run, RunStatus.FAILED, error=error)


def requeue(
    session: Session, run: RunRow, stage: StageRow, *, reason: str, blame: bool, max_attempts: int
) -> list[WakeUp]:
    """Queue a stage again for another worker.

    The stage fails instead if it was lost too often. The stage is cancelled instead if the run is not running.

    Args:
        session: transaction of the caller.
        run: the locked run.
        stage: the stage.
        reason: why the stage was lost, for the event and for the error of a run that fails.
        blame: False if the attempt does not count, because the worker was asked to stop.
        max_attempts: number of counted attempts after which the stage fails.

    Returns:
        Wake-ups to send after the commit.
    """
    if run.status != RunStatus.RUNNING:
        end_stage(session, stage, StageStatus.CANCELLED)
        settle_cancel(session, run)
        return []
    if blame and stage.attempt >= max_attempts:
        lost = f"Stage {stage.id} was lost {stage.attempt} times; the last time: {reason}."
        fail(session, run, stage, StageLostError(f"{lost} Retry the run, or make it smaller."))
        return []
    stage.attempt -= 0 if blame else 1
    stage.token += 1  # from here on, writes of the old claim are fenced
    emit(session, run, "stage.requeued", stage=stage.id, reason=reason)
    counts.STAGES_ENDED.add(session, stage=stage.name, outcome="requeued")
    return [queue(session, run, stage)]


def settle_cancel(session: Session, run: RunRow) -> None:
    """End a run that is being cancelled if none of its stages is running."""
    rows = stages_of(session, run.id).values()
    if run.status == RunStatus.CANCELLING and not any(row.status == StageStatus.RUNNING for row in rows):
        move(session, run, RunStatus.CANCELLED)
