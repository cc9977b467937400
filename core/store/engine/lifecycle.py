"""How a run moves: the writes that every change of a run or stage shares.

Each function works inside its caller's transaction, after `lock`: PostgreSQL then has one writer a run, as SQLite has
one a database. Bells are returned, and rung by the caller after the commit.
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
"""Where so many stages have been queued for so long, no worker is idle: each looks for more when it is done."""

ARTIFACTS_LOCK = 0x454D4241


QUEUED = literal(StageStatus.QUEUED.value, literal_execute=True)
"""In a query: a parameter would hide the index of queued stages."""


class StageId(NamedTuple):
    """A stage of a run."""

    run_id: str
    stage_id: str


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A queued stage that some worker should hear of."""

    run_id: str
    stage_id: str
    queue: str

    @property
    def stage(self) -> StageId:
        """The stage that it is sent for."""
        return StageId(self.run_id, self.stage_id)


def lock(session: Session, run_id: str) -> RunRow:
    """The run, held against other writers until the commit; its version rises.

    Raises:
        NotFoundError: there is no such run.
    """
    raised = update(RunRow).where(RunRow.id == run_id).values(version=RunRow.version + 1).returning(RunRow.id)
    if session.execute(raised).first() is None:
        raise NotFoundError(f"There is no run {run_id}.")
    return session.get_one(RunRow, run_id, populate_existing=True)


def plan_of(run: RunRow) -> Plan:
    """The plan that was made when the run was accepted."""
    return Plan.model_validate(run.plan)


def stages_of(session: Session, run_id: str) -> dict[str, StageRow]:
    """The run's stages by id, in the plan's order."""
    return _by_id(session, _STAGES, {"run_id": run_id})


def _by_id(session: Session, query: Select[StageRow], asked: Mapping[str, Any]) -> dict[str, StageRow]:
    return {row.id: row for row in session.scalars(query, asked, execution_options={"populate_existing": True})}


def emit(session: Session, run: RunRow, kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON values
    """Append an event, and what webhooks will hear of it; its number has no gaps because the run is locked."""
    run.event_seq += 1
    append_event_at_current_number(session, run, kind, **data)


def append_event_at_current_number(session: Session, run: RunRow, kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON values
    """Write the event whose number the run has reached already: `emit` without a change of the run."""
    event = EventRow(run_id=run.id, seq=run.event_seq, type=kind, at=clock(session), data=data)
    session.add(event)
    outbox.enqueue(session, run, event)


# Statements that every run asks for many times are built once: building one takes longer than SQLite takes to run it.
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
    """The database's time, seconds since 1970. SQLite's is this machine's, in whole milliseconds, and is not asked."""
    if session.get_bind().dialect.name == "sqlite":
        return time.time_ns() // 1_000_000 / 1000
    return session.execute(_CLOCK).scalar_one()


def move(session: Session, run: RunRow, status: RunStatus, *, error: EmbedreelError | None = None) -> None:
    """Change the run's status; a terminal one stamps the time and tells why.

    Raises:
        AssertionError: the transition is not in TRANSITIONS: a defect of the caller.
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
    """Until the commit, let nobody delete artifacts that this transaction counts on, or, to delete, count on them.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        lock_kind = "pg_advisory_xact_lock" if to_delete else "pg_advisory_xact_lock_shared"
        session.execute(text(f"SELECT {lock_kind}({ARTIFACTS_LOCK})"))


def lock_key(session: Session, key: str) -> None:
    """Until the commit, let nobody else publish an artifact of this key."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def stored_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Which of these artifacts are published."""
    stored: set[str] = set()
    for batch in batches(keys):
        stored.update(session.scalars(_STORED, {"keys": batch}))
    return stored


def forget_artifacts(session: Session, keys: Iterable[str]) -> list[str]:
    """Delete the rows of these artifacts; returns their locations, to be deleted from the store after the commit.

    The caller holds the artifacts `to_delete`.
    """
    locations: list[str] = []
    for batch in batches(keys):
        gone = delete(ArtifactRow).where(ArtifactRow.key.in_(batch))
        locations += session.scalars(gone.returning(ArtifactRow.location))
    return locations


def forget_lost(session: Session, lost: Mapping[str, Stored]) -> None:
    """Delete the rows of artifacts whose files are gone, unless they have been made anew at another location."""
    if lost:
        lock_artifacts(session, to_delete=True)
    for key, stored in lost.items():
        gone = delete(ArtifactRow).where(ArtifactRow.key == key, ArtifactRow.location == stored.location)
        session.execute(gone)


def shared_keys(session: Session, run_id: str, keys: Iterable[str]) -> set[str]:
    """Those of these stages' keys that a stage of another run has too."""
    shared: set[str] = set()
    for batch in batches(sorted(set(keys))):
        others = select(StageRow.key).where(StageRow.key.in_(batch), StageRow.run_id != run_id)
        shared.update(session.scalars(others))
    return shared


def forget_state(session: Session, stage: StageRow) -> list[str]:
    """Let go of what the stage would continue from; returns locations as `forget_artifacts`."""
    if stage.state_key is None:
        return []
    locations = forget_artifacts(session, [stage.state_key])
    stage.state_key = stage.state_step = None
    return locations


def queue(session: Session, run: RunRow, stage: StageRow) -> WakeUp:
    """Make a stage ready for a worker; the sweep rings again should this bell be lost."""
    stage.status = StageStatus.QUEUED
    stage.lease_until = stage.worker_id = None
    stage.notifications = 0
    stage.queued_at = clock(session)
    stage.notify_at = stage.queued_at + NOTIFY_AGAIN_SECONDS
    return WakeUp(run.id, stage.id, stage.queue)


def succeed(session: Session, run: RunRow, stage: StageRow, *, reused: bool = False) -> None:
    """The stage's artifact is there."""
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
    """Write the stages of a new run: those that are stored are done, those that have all they need are queued.

    Args:
        among: keys of artifacts that may be stored. One that is made meanwhile is found when its stage is claimed.
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
    """Finish what is already stored, queue what has all it needs, end the run when nothing is left to do."""
    plan = plan_of(run)
    lock_artifacts(session)
    statuses = {stage_id: status for stage_id, status in session.execute(_STATUSES, {"run_id": run.id})}  # noqa: C416
    moves = _moves(plan, statuses, stored_keys(session, plan.keys))
    wake_ups = _carry_out(session, run, moves)
    _end_if_done(session, run, statuses | moves)
    return _unless_backlog(session, wake_ups)


def _moves(plan: Plan, statuses: Mapping[str, str], stored: set[str]) -> dict[str, str]:
    """What becomes of stages that wait: what is stored has succeeded, what has all it needs is queued."""
    suppliers = {part.stage: part for stage in plan.stages for part in stage.parts if part.effect != "keeps"}
    now_are = dict(statuses)
    for stage in plan.stages:
        if now_are[stage.id] != StageStatus.WAITING:
            continue
        if _reusable(stage, plan, stored):
            now_are[stage.id] = StageStatus.SUCCEEDED
        elif _ready(stage, now_are, suppliers.get(stage.id), stored):
            now_are[stage.id] = StageStatus.QUEUED
    return {stage_id: status for stage_id, status in now_are.items() if status != statuses[stage_id]}


def _carry_out(session: Session, run: RunRow, moves: Mapping[str, str]) -> list[WakeUp]:
    """Move stages that are written; returns the bells of those that are queued now."""
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
    """Those of these bells that some worker may be free to hear."""
    return [wake_up for wake_up in wake_ups if not has_backlog(session, wake_up.queue)]


def has_backlog(session: Session, queue: str) -> bool:
    """Whether so many wait in this queue already that one more bell would tell nobody anything.

    A bell costs as much as all else that is done for a POST. One that is missed is rung by the sweep.
    """
    asked = {"queue": queue, "before": clock(session) - BACKLOG_SECONDS}
    return len(session.connection().execute(_BACKLOG, asked).all()) == BACKLOG


def made_stages(session: Session, run: RunRow) -> set[str]:
    """Ids of the run's stages that need not be run: what they make is stored, for themselves and for others."""
    plan = plan_of(run)
    stored = stored_keys(session, plan.keys)
    return {stage.id for stage in plan.stages if _reusable(stage, plan, stored)}


def _reusable(stage: PlannedStage, plan: Plan, stored: set[str]) -> bool:
    return stage.key in stored and all(_served(part, plan, stored) for part in stage.parts)


def _served(part: Part, plan: Plan, stored: set[str]) -> bool:
    """The part is there, or what it was for."""
    return part.key in stored or (part.effect != "keeps" and plan.stage(part.stage).key in stored)


def _ready(stage: PlannedStage, statuses: Mapping[str, str], supplier: Part | None, stored: set[str]) -> bool:
    if supplier:
        return supplier.effect == "releases" and supplier.key in stored
    return all(statuses[need] == StageStatus.SUCCEEDED for need in stage.needs)


def drop_unfinished(rows: Iterable[StageRow], *, but: StageRow | None = None) -> None:
    """Nothing of this run will be started any more."""
    for row in rows:
        if row is not but and row.status in {StageStatus.WAITING, StageStatus.QUEUED}:
            row.status = StageStatus.CANCELLED
            row.notify_at = None


def end_stage(session: Session, stage: StageRow, status: StageStatus) -> None:
    """Nothing runs the stage any more."""
    stage.status = status
    stage.lease_until = stage.notify_at = None
    stage.finished_at = clock(session)
    counts.STAGES_ENDED.add(session, stage=stage.name, outcome=status)
    session.flush()


def fail(session: Session, run: RunRow, stage: StageRow, error: EmbedreelError) -> None:
    """The stage cannot be done: the run has failed, and says why."""
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
    """Another worker may take the stage, unless it was lost too often or the run is to stop.

    Args:
        reason: what happened, for the event and, in the end, for the run's error.
        blame: False does not count as an attempt (the worker was asked to stop).
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
    stage.token += 1  # whoever still runs it is fenced out from here on
    emit(session, run, "stage.requeued", stage=stage.id, reason=reason)
    counts.STAGES_ENDED.add(session, stage=stage.name, outcome="requeued")
    return [queue(session, run, stage)]


def settle_cancel(session: Session, run: RunRow) -> None:
    """End a run that is being cancelled, once no stage of it runs."""
    rows = stages_of(session, run.id).values()
    if run.status == RunStatus.CANCELLING and not any(row.status == StageStatus.RUNNING for row in rows):
        move(session, run, RunStatus.CANCELLED)
