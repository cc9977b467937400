"""Decide which stages of a run come next.

A stage whose artifact is stored succeeds without work. A stage whose inputs are stored is queued. A run ends after its
last stage.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from core.domain.plan import Part, Plan, PlannedStage
from core.domain.run import RunStatus, StageStatus
from core.store.database.batches import batches
from core.store.database.session import clock
from core.store.database.tables import RunRow, StageRow
from core.store.engine import artifact_rows, lifecycle
from core.store.engine.lifecycle import NOTIFY_AGAIN_SECONDS, QUEUED, WakeUp

BACKLOG = 8


BACKLOG_SECONDS = 1.0
"""BACKLOG stages that have been queued for BACKLOG_SECONDS mean that no worker is idle.

Each worker reads the queue again after each stage. Both numbers are chosen by hand: lower ones save wake-ups, higher
ones send more wake-ups to workers that may be idle.
"""


_NEW_STAGES = insert(StageRow)
_STATUSES = select(StageRow.id, StageRow.status).where(StageRow.run_id == bindparam("run_id"))
_BACKLOG = (
    select(StageRow.run_id)
    .where(StageRow.status == QUEUED, StageRow.queue == bindparam("queue"), StageRow.queued_at < bindparam("before"))
    .order_by(StageRow.run_id)
    .limit(BACKLOG)
)


def begin(session: Session, run: RunRow, plan: Plan, *, among: Collection[str]) -> list[WakeUp]:
    """Insert the stages of a new run. Stages with stored artifacts succeed. Stages with all their inputs are queued.

    Args:
        session: transaction of the caller.
        run: the locked run.
        plan: plan of the run.
        among: keys of artifacts that may be stored. An artifact that is made later is found when its stage is claimed.

    Returns:
        Wake-ups to send after the commit.
    """
    artifact_rows.lock_artifacts(session)
    waiting: dict[str, str] = {stage.id: StageStatus.WAITING for stage in plan.stages}
    moves = _moves(plan, waiting, artifact_rows.stored_keys(session, among))
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
    plan = lifecycle.plan_of(run)
    artifact_rows.lock_artifacts(session)
    statuses = {stage_id: status for stage_id, status in session.execute(_STATUSES, {"run_id": run.id})}  # noqa: C416
    moves = _moves(plan, statuses, artifact_rows.stored_keys(session, plan.keys))
    wake_ups = _carry_out(session, run, moves)
    _end_if_done(session, run, statuses | moves)
    return _unless_backlog(session, wake_ups)


def made_stages(session: Session, run: RunRow) -> set[str]:
    """Return the ids of the run's stages whose artifacts, and whose parts for other stages, are all stored."""
    plan = lifecycle.plan_of(run)
    stored = artifact_rows.stored_keys(session, plan.keys)
    return {stage.id for stage in plan.stages if _reusable(stage, plan, stored)}


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


def _reusable(stage: PlannedStage, plan: Plan, stored: set[str]) -> bool:
    return stage.key in stored and all(_served(part, plan, stored) for part in stage.parts)


def _served(part: Part, plan: Plan, stored: set[str]) -> bool:
    """Return True if the part is stored, or the artifact of the stage that needs the part is stored."""
    return part.key in stored or (part.effect != "keeps" and plan.stage(part.stage).key in stored)


def _ready(stage: PlannedStage, statuses: Mapping[str, str], supplier: Part | None, stored: set[str]) -> bool:
    if supplier:
        return supplier.effect == "releases" and supplier.key in stored
    return all(statuses[need] == StageStatus.SUCCEEDED for need in stage.needs)


def _carry_out(session: Session, run: RunRow, moves: Mapping[str, str]) -> list[WakeUp]:
    """Apply the new statuses to stages; returns the wake-ups of the stages that are queued now."""
    wake_ups = []
    for batch in batches(moves):
        for stage_id, row in lifecycle.stages_of(session, run.id, only=batch).items():
            if moves[stage_id] == StageStatus.QUEUED:
                wake_ups.append(lifecycle.queue(session, run, row))
            else:
                lifecycle.succeed(session, run, row, reused=True)
    return wake_ups


def _end_if_done(session: Session, run: RunRow, statuses: Mapping[str, str]) -> None:
    if all(status == StageStatus.SUCCEEDED for status in statuses.values()):
        lifecycle.move(session, run, RunStatus.SUCCEEDED)


def _unless_backlog(session: Session, wake_ups: Iterable[WakeUp]) -> list[WakeUp]:
    """Return the wake-ups whose queues have no backlog: an idle worker may receive them."""
    return [wake_up for wake_up in wake_ups if not has_backlog(session, wake_up.queue)]


def has_backlog(session: Session, queue: str) -> bool:
    """Return True if the backlog exceeds what idle workers can take, so that another wake-up is useless.

    A wake-up costs as much as all other work of a POST. The sweep sends a wake-up that was left out.
    """
    parameters = {"queue": queue, "before": clock(session) - BACKLOG_SECONDS}
    return len(session.connection().execute(_BACKLOG, parameters).all()) == BACKLOG
