"""Progress of runs: their tasks by status, captured steps, skipped frames, and durations of recent runs."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, case, exists, func, select
from sqlalchemy.orm import Session

from core.domain.plan import SKIPPED
from core.domain.run import RunStatus, TaskStatus
from core.domain.stages import EMBED, FINE_TUNE, RENDER, STAGES
from core.store.database.tables import ArtifactRow, RunRow, TaskRow

RECENT_RUNS = 5
"""Runs that `seconds_per_frame` reads. Chosen by hand: more runs cover more stages and cost a longer query."""


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """All tasks of a run with the same name and the same status."""

    name: str
    queue: str
    status: TaskStatus
    tasks: int
    reused: int
    attempt: int
    done: int
    total: int
    started_at: float | None
    finished_at: float | None


# Frequent statements are built once: SQLAlchemy takes longer to build one than SQLite takes to execute it.
_GROUPS = (
    select(
        TaskRow.run_id,
        TaskRow.name,
        TaskRow.queue,
        TaskRow.status,
        func.count(),
        func.sum(case((TaskRow.reused, 1), else_=0)),
        func.max(TaskRow.attempt),
        func.sum(TaskRow.done),
        func.sum(TaskRow.total),
        func.min(TaskRow.started_at),
        func.max(TaskRow.finished_at),
    )
    .where(TaskRow.run_id.in_(bindparam("run_ids", expanding=True)))
    .group_by(TaskRow.run_id, TaskRow.name, TaskRow.queue, TaskRow.status)
)
_STEPS = select(RunRow.id, RunRow.plan["steps"]).where(RunRow.id.in_(bindparam("run_ids", expanding=True)))


def task_groups(session: Session, run_ids: Iterable[str]) -> dict[str, list[TaskGroup]]:
    """Return the tasks of each run, grouped by name and status."""
    groups: dict[str, list[TaskGroup]] = {run_id: [] for run_id in run_ids}
    for run_id, name, queue, status, *sums in session.execute(_GROUPS, {"run_ids": list(groups)}):
        groups[run_id].append(TaskGroup(name, queue, TaskStatus(status), *sums))
    return groups


def captured_steps(session: Session, run_ids: Iterable[str]) -> dict[str, list[int]]:
    """Return the captured steps of each run, without reading the rest of the plan."""
    found = session.execute(_STEPS, {"run_ids": list(run_ids)})
    return {run_id: steps for run_id, steps in found}  # noqa: C416 - mypy does not accept rows as pairs


def skipped_frames(session: Session, run_ids: Iterable[str]) -> dict[str, int]:
    """Return the number of frames of each run that an early end of the training left out. Other runs are not listed."""
    if not (wanted := list(run_ids)):
        return {}
    query = (
        select(TaskRow.run_id, func.count())
        .join(ArtifactRow, ArtifactRow.key == TaskRow.key)
        .where(
            TaskRow.run_id.in_(wanted),
            TaskRow.name == EMBED.name,
            TaskRow.status == TaskStatus.SUCCEEDED,
            ArtifactRow.facts[SKIPPED].as_boolean(),
        )
        .group_by(TaskRow.run_id)
    )
    return {run_id: count for run_id, count in session.execute(query)}  # noqa: C416 - mypy does not accept rows as pairs


def seconds_per_frame(session: Session) -> dict[str, float]:
    """Return the latest duration in seconds of each stage after the training, divided by the number of frames.

    The durations are read from the newest RECENT_RUNS runs that succeeded and were drawn. Stages that did not run in
    these runs, or were only reused, are left out.
    """
    trained = exists().where(TaskRow.run_id == RunRow.id, TaskRow.id == FINE_TUNE.name)  # no comparison
    recent = select(RunRow.id).where(RunRow.status == RunStatus.SUCCEEDED, trained).order_by(RunRow.id.desc())
    query = (
        select(TaskRow.run_id, TaskRow.name, TaskRow.finished_at - TaskRow.started_at, TaskRow.total)
        .where(
            TaskRow.run_id.in_(list(session.scalars(recent.limit(RECENT_RUNS)))),
            TaskRow.name.in_([stage.name for stage in STAGES.values() if not stage.learns]),
            TaskRow.reused.is_(False),
        )
        .order_by(TaskRow.run_id)
    )
    rows = session.execute(query).all()
    drawn = {run_id: frames for run_id, name, _seconds, frames in rows if name == RENDER.name}
    seconds_by_stage: dict[str, float] = {}
    for run_id, name, seconds, _total in rows:
        if seconds is not None and run_id in drawn:
            seconds_by_stage[name] = seconds / drawn[run_id]  # rows are ordered by run, so the newest run wins
    return seconds_by_stage
