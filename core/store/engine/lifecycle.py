"""State changes of runs and stages.

Each function works inside the transaction of its caller. The caller calls `lock` first, so that PostgreSQL has one
writer for each run. SQLite has one writer for the whole database. Functions return wake-ups, and the caller sends them
after the commit.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, insert, literal, select, text, update
from sqlalchemy.orm import Session

from core.domain.plan import Part, Plan, PlannedStage
from core.domain.run import TRANSITIONS, RunStatus, StageStatus
from core.errors import EmbedreelError, NotFoundError, StageLostError
from core.store.database.batches import batches
from core.store.database.session import now
from core.store.database.tables import ArtifactRow, EventRow, RunRow, StageRow
from core.store.engine import counts, outbox
from core.store.objects.stored import Stored

NOTIFY_AGAIN_SECONDS = 15.0
BACKLOG = 8
BACKLOG_SECONDS = 1.0
"""BACKLOG stages that have been queued for BACKLOG_SECONDS mean that no worker is idle.

Each worker reads the queue again after each stage. Both numbers are choices: lower ones save wake-ups, higher ones send
more wake-ups to workers that may be idle.
"""

ARTIFACTS_LOCK = 0x454D4241


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
    """Return the plan that was made when the run was accepted."""
    return Plan.model_validate(run.plan)


def stages_of(session: Session, run_id: str) -> dict[str, StageRow]:
    """Return the stages of a run by id, in the order of the plan."""
    return _by_id(session, _STAGES, {"run_id": run_id})


def _by_id(session: Session, query: Select[StageRow], parameters: Mapping[str, Any]) -> dict[str, StageRow]:
    return {row.id: row for row in session.scalars(query, parameters, execution_options={"populate_existing": True})}


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


# Frequent statements are built once: SQLAlchemy takes longer to build one than SQLite takes to execute it.
_CLOCK = select(now())
_STORED = select(ArtifactRow.key).where(ArtifactRow.key.in_(bindparam("keys", expanding=True)))
_STAGES = select(StageRow).where(StageRow.run_id == bindparam("run_id")).order_by(StageRow.position)
_THESE = _STAGES.where(StageRow.id.in_(bindparam("stage_ids", expanding=True)))
_NEW_STAGES = insert(StageRow)
_STATUSES = select(StageRow.id, StageRow.status).where(StageRow.run_id == bindparam("run_id"))
_BACKLOG = (
    select(StageRow.run_id)
    .where(StageRow.status == QUEUED, StageRow.queue == bindparam("queue"), StageRow.queued_at < bindparam("before"))
    .order_by(StageRow.run_id)
    .limit(BACKLOG)
)


def clock(session: Session) -> float:
    """Return the database's time in seconds since 1970.

    For SQLite, the clock of this machine is read without a query, in whole milliseconds.
    """
    if session.get_bind().dialect.name == "sqlite":
        return time.time_ns() // 1_000_000 / 1000
    return session.execute(_CLOCK).scalar_one()


def move(session: Session, run: RunRow, status: RunStatus, *, error: EmbedreelError | None = None) -> None:
    """Change the status of a run and append an event. A terminal status also sets `finished_at`.

    Args:
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


def lock_artifacts(session: Session, *, to_delete: bool = False) -> None:
    """Lock all artifacts until the commit. SQLite needs no lock because it has one writer at a time.

    Args:
        to_delete: True takes the exclusive lock, so that no other transaction references artifacts. False takes the
            shared lock, so that no other transaction deletes artifacts.
    """
    if session.get_bind().dialect.name == "postgresql":
        lock_kind = "pg_advisory_xact_lock" if to_delete else "pg_advisory_xact_lock_shared"
        session.execute(text(f"SELECT {lock_kind}({ARTIFACTS_LOCK})"))


def lock_key(session: Session, key: str) -> None:
    """Lock a key, such as an artifact key, until the commit. SQLite needs no lock: it has one writer at a time."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def stored_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Return the subset of these keys whose artifacts are published."""
    stored: set[str] = set()
    for batch in batches(keys):
        stored.update(session.scalars(_STORED, {"keys": batch}))
    return stored


def forget_artifacts(session: Session, keys: Iterable[str]) -> list[str]:
    """Delete the rows of these artifacts. The caller has called `lock_artifacts` with `to_delete`.

    Returns:
        Locations to delete from the store after the commit.
    """
    locations: list[str] = []
    for batch in batches(keys):
        gone = delete(ArtifactRow).where(ArtifactRow.key.in_(batch))
        locations += session.scalars(gone.returning(ArtifactRow.location))
    return locations


def forget_lost(session: Session, lost: Mapping[str, Stored]) -> None:
    """Delete the rows of artifacts whose files are missing.

    The row of an artifact that has been made again at another location stays.

    Args:
        lost: artifacts whose files are missing, by key.
    """
    if lost:
        lock_artifacts(session, to_delete=True)
    for key, stored in lost.items():
        gone = delete(ArtifactRow).where(ArtifactRow.key == key, ArtifactRow.location == stored.location)
        session.execute(gone)


def shared_keys(session: Session, run_id: str, keys: Iterable[str]) -> set[str]:
    """Return the subset of these keys that a stage of another run has too."""
    shared: set[str] = set()
    for batch in batches(sorted(set(keys))):
        others = select(StageRow.key).where(StageRow.key.in_(batch), StageRow.run_id != run_id)
        shared.update(session.scalars(others))
    return shared


def forget_state(session: Session, stage: StageRow) -> list[str]:
    """Delete the row of the state that the stage would resume from; returns locations like `forget_artifacts`."""
    if stage.state_key is None:
        return []
    locations = forget_artifacts(session, [stage.state_key])
    stage.state_key = stage.state_step = None
    return locations


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


def begin(session: Session, run: RunRow, plan: Plan, *, among: Collection[str]) -> list[WakeUp]:
    """Insert the stages of a new run. Stages with stored artifacts succeed. Stages with all their inputs are queued.

    Args:
        among: keys of artifacts that may be stored. An artifact that is made later is found when its stage is claimed.

    Returns:
        Wake-ups to send after the commit.
    """
    lock_artifacts(session)
    waiting: dict[str, str] = {stage.id: StageStatus.WAITING for stage in plan.stages}
    moves = _moves(plan, waiting, stored_keys(session, among))
    queued = {stage_id for stage_id, status in moves.items() if status == StageStatus.QUEUED}
    at = clock(session)
    stages = [
        {
            "run_id": run.id,
            "id": stage.id,
            "name": stage.name,
            "position": position,
            "queue": stage.queue,
            "key": stage.key,
            "status": StageStatus.QUEUED if stage.id in queued else StageStatus.WAITING,
            "queued_at": at if stage.id in queued else None,
            "notify_at": at + NOTIFY_AGAIN_SECONDS if stage.id in queued else None,
        }
        for position, stage in enumerate(plan.stages)
    ]
    session.connection().execute(_NEW_STAGES, stages)
    wake_ups = [WakeUp(run.id, stage.id, stage.queue) for stage in plan.stages if stage.id in queued]
    _carry_out(session, run, {stage_id: moves[stage_id] for stage_id in moves if stage_id not in queued})
    _end_if_done(session, run, waiting | moves)
    return _unless_backlog(session, wake_ups)


def advance(session: Session, run: RunRow) -> list[WakeUp]:
    """Finish stages with stored artifacts, queue stages with all their inputs, and end the run after its last stage.

    Returns:
        Wake-ups to send after the commit.
    """
    plan = plan_of(run)
    lock_artifacts(session)
    statuses = {stage_id: status for stage_id, status in session.execute(_STATUSES, {"run_id": run.id})}  # noqa: C416
    moves = _moves(plan, statuses, stored_keys(session, plan.keys))
    wake_ups = _carry_out(session, run, moves)
    _end_if_done(session, run, statuses | moves)
    return _unless_backlog(session, wake_ups)


def _moves(plan: Plan, statuses: Mapping[str, str], stored: set[str]) -> dict[str, str]:
    """Return the new status of each waiting stage that changes: succeeded if stored, queued if its inputs are there."""
    suppliers = {part.stage: part for stage in plan.stages for part in stage.parts if part.effect != "keeps"}
    updated = dict(statuses)
    for stage in plan.stages:
        if updated[stage.id] != StageStatus.WAITING:
            continue
        if _reusable(stage, plan, stored):
            updated[stage.id] = StageStatus.SUCCEEDED
        elif _ready(stage, updated, suppliers.get(stage.id), stored):
            updated[stage.id] = StageStatus.QUEUED
    return {stage_id: status for stage_id, status in updated.items() if status != statuses[stage_id]}


def _carry_out(session: Session, run: RunRow, moves: Mapping[str, str]) -> list[WakeUp]:
    """Apply the new statuses to stages; returns the wake-ups of the stages that are queued now."""
    wake_ups = []
    for batch in batches(moves):
        for stage_id, row in _by_id(session, _THESE, {"run_id": run.id, "stage_ids": batch}).items():
            if moves[stage_id] == StageStatus.QUEUED:
                wake_ups.append(queue(session, run, row))
            else:
                succeed(session, run, row, reused=True)
    return wake_ups


def _end_if_done(session: Session, run: RunRow, statuses: Mapping[str, str]) -> None:
    if all(status == StageStatus.SUCCEEDED for status in statuses.values()):
        move(session, run, RunStatus.SUCCEEDED)


def _unless_backlog(session: Session, wake_ups: Iterable[WakeUp]) -> list[WakeUp]:
    """Return the wake-ups whose queues have no backlog: an idle worker may receive them."""
    return [wake_up for wake_up in wake_ups if not has_backlog(session, wake_up.queue)]


def has_backlog(session: Session, queue: str) -> bool:
    """Return True if the backlog exceeds what idle workers can take, so that another wake-up is useless.

    A wake-up costs as much as all other work of a POST. The sweep sends a wake-up that was left out.
    """
    parameters = {"queue": queue, "before": clock(session) - BACKLOG_SECONDS}
    return len(session.connection().execute(_BACKLOG, parameters).all()) == BACKLOG


def made_stages(session: Session, run: RunRow) -> set[str]:
    """Return the ids of the run's stages whose artifacts, and whose parts for other stages, are all stored."""
    plan = plan_of(run)
    stored = stored_keys(session, plan.keys)
    return {stage.id for stage in plan.stages if _reusable(stage, plan, stored)}


def _reusable(stage: PlannedStage, plan: Plan, stored: set[str]) -> bool:
    return stage.key in stored and all(_served(part, plan, stored) for part in stage.parts)


def _served(part: Part, plan: Plan, stored: set[str]) -> bool:
    """Return True if the part is stored, or the artifact of the stage that needs the part is stored."""
    return part.key in stored or (part.effect != "keeps" and plan.stage(part.stage).key in stored)


def _ready(stage: PlannedStage, statuses: Mapping[str, str], supplier: Part | None, stored: set[str]) -> bool:
    if supplier:
        return supplier.effect == "releases" and supplier.key in stored
    return all(statuses[need] == StageStatus.SUCCEEDED for need in stage.needs)


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
