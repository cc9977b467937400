"""How a run moves: the writes that every change of a run or stage shares.

Each function works inside its caller's transaction, after `lock`: PostgreSQL then has one writer a run, as SQLite has
one a database. Bells are returned, and rung by the caller after the commit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from core.domain.plan import Part, Plan, PlannedStage
from core.domain.run import TRANSITIONS, RunStatus, StageStatus
from core.errors import EmbedreelError, NotFoundError
from core.store.session import now
from core.store.tables import ArtifactRow, EventRow, RunRow, StageRow

RING_AGAIN_SECONDS = 15.0
ARTIFACTS_LOCK = 0x454D4241


@dataclass(frozen=True, slots=True)
class Bell:
    """A queued stage that some worker should hear of."""

    run_id: str
    stage_id: str
    name: str
    queue: str


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
    query = select(StageRow).where(StageRow.run_id == run_id).order_by(StageRow.position)
    return {row.id: row for row in session.scalars(query.execution_options(populate_existing=True))}


def emit(session: Session, run: RunRow, kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON values
    """Append an event; its number has no gaps because the run is locked."""
    run.event_seq += 1
    session.add(EventRow(run_id=run.id, seq=run.event_seq, type=kind, at=clock(session), data=data))


def clock(session: Session) -> float:
    """The database's time, seconds since 1970."""
    return session.execute(select(now())).scalar_one()


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
    emit(session, run, f"run.{status}", **({"error": run.error} if error else {}))


def hold_artifacts(session: Session, *, to_delete: bool = False) -> None:
    """Until the commit, let nobody delete artifacts that this transaction counts on, or, to delete, count on them.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        lock_kind = "pg_advisory_xact_lock" if to_delete else "pg_advisory_xact_lock_shared"
        session.execute(text(f"SELECT {lock_kind}({ARTIFACTS_LOCK})"))


def hold_key(session: Session, key: str) -> None:
    """Until the commit, let nobody else publish an artifact of this key."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def stored_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Which of these artifacts are published."""
    wanted = list(keys)
    stored: set[str] = set()
    for start in range(0, len(wanted), 500):
        query = select(ArtifactRow.key).where(ArtifactRow.key.in_(wanted[start : start + 500]))
        stored.update(session.scalars(query))
    return stored


def queue(session: Session, run: RunRow, stage: StageRow) -> Bell:
    """Make a stage ready for a worker; the sweep rings again should this bell be lost."""
    stage.status = StageStatus.QUEUED
    stage.lease_until = stage.worker_id = None
    stage.rings = 0
    stage.ring_at = clock(session) + RING_AGAIN_SECONDS
    return Bell(run.id, stage.id, stage.name, stage.queue)


def succeed(session: Session, run: RunRow, stage: StageRow, *, reused: bool = False) -> None:
    """The stage's artifact is there."""
    at = clock(session)
    stage.status = StageStatus.SUCCEEDED
    stage.reused = reused
    stage.lease_until = stage.ring_at = None
    stage.started_at = stage.started_at or at
    stage.finished_at = at
    stage.total = stage.done = max(stage.total, 1)
    emit(session, run, "stage.succeeded", stage=stage.id, reused=reused)


def advance(session: Session, run: RunRow) -> list[Bell]:
    """Finish what is already stored, queue what has all it needs, end the run when nothing is left to do."""
    hold_artifacts(session)
    rows, plan = stages_of(session, run.id), plan_of(run)
    suppliers = {part.stage: part for stage in plan.stages for part in stage.parts}
    stored = stored_keys(
        session, [key for stage in plan.stages for key in (stage.key, *(part.key for part in stage.parts))]
    )
    bells = []
    for stage in plan.stages:
        row = rows[stage.id]
        if row.status != StageStatus.WAITING:
            continue
        if _reusable(stage, plan, stored):
            succeed(session, run, row, reused=True)
        elif _ready(stage, rows, suppliers.get(stage.id), stored):
            bells.append(queue(session, run, row))
    if all(row.status == StageStatus.SUCCEEDED for row in rows.values()):
        move(session, run, RunStatus.SUCCEEDED)
    return bells


def _reusable(stage: PlannedStage, plan: Plan, stored: set[str]) -> bool:
    parts_there = all(part.key in stored or plan.stage(part.stage).key in stored for part in stage.parts)
    return stage.key in stored and parts_there


def _ready(stage: PlannedStage, rows: dict[str, StageRow], supplier: Part | None, stored: set[str]) -> bool:
    if supplier:
        return supplier.effect == "releases" and supplier.key in stored
    return all(rows[need].status == StageStatus.SUCCEEDED for need in stage.needs)


def drop_unfinished(rows: Iterable[StageRow], *, but: StageRow | None = None) -> None:
    """Nothing of this run will be started any more."""
    for row in rows:
        if row is not but and row.status in {StageStatus.WAITING, StageStatus.QUEUED}:
            row.status = StageStatus.CANCELLED
            row.ring_at = None


def settle_cancel(session: Session, run: RunRow) -> None:
    """End a run that is being cancelled, once no stage of it runs."""
    rows = stages_of(session, run.id).values()
    if run.status == RunStatus.CANCELLING and not any(row.status == StageStatus.RUNNING for row in rows):
        move(session, run, RunStatus.CANCELLED)
