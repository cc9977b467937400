"""Decide which tasks of a run come next.

A task whose artifact is stored succeeds without work. A task whose inputs are stored is queued. A run ends after its
last task.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from core.domain.plan import Part, Plan, PlannedTask
from core.domain.run import RunStatus, TaskStatus
from core.store.database.batches import batches
from core.store.database.session import clock
from core.store.database.tables import RunRow, TaskRow
from core.store.engine import artifact_rows, lifecycle
from core.store.engine.lifecycle import NOTIFY_AGAIN_SECONDS, QUEUED, WakeUp

BACKLOG = 8


BACKLOG_SECONDS = 1.0
"""BACKLOG tasks that have been queued for BACKLOG_SECONDS mean that no worker is idle.

Each worker reads the queue again after each task. Both numbers are chosen by hand: lower ones save wake-ups, higher
ones send more wake-ups to workers that may be idle.
"""


_NEW_TASKS = insert(TaskRow)
_STATUSES = select(TaskRow.id, TaskRow.status).where(TaskRow.run_id == bindparam("run_id"))
_BACKLOG = (
    select(TaskRow.run_id)
    .where(TaskRow.status == QUEUED, TaskRow.queue == bindparam("queue"), TaskRow.queued_at < bindparam("before"))
    .order_by(TaskRow.run_id)
    .limit(BACKLOG)
)


def begin(session: Session, run: RunRow, plan: Plan, *, among: Collection[str]) -> list[WakeUp]:
    """Insert the tasks of a new run. Tasks with stored artifacts succeed. Tasks with all their inputs are queued.

    Args:
        session: transaction of the caller.
        run: the locked run.
        plan: plan of the run.
        among: keys of artifacts that may be stored. An artifact that is made later is found when its task is claimed.

    Returns:
        Wake-ups to send after the commit.
    """
    artifact_rows.lock_artifacts(session)
    waiting: dict[str, str] = {task.id: TaskStatus.WAITING for task in plan.tasks}
    moves = _moves(plan, waiting, artifact_rows.stored_keys(session, among))
    queued = {task_id for task_id, status in moves.items() if status == TaskStatus.QUEUED}
    at = clock(session)
    tasks = [
        {
            "run_id": run.id,
            "id": task.id,
            "name": task.name,
            "position": position,
            "queue": task.queue,
            "key": task.key,
            "status": TaskStatus.QUEUED if task.id in queued else TaskStatus.WAITING,
            "queued_at": at if task.id in queued else None,
            "notify_at": at + NOTIFY_AGAIN_SECONDS if task.id in queued else None,
        }
        for position, task in enumerate(plan.tasks)
    ]
    session.connection().execute(_NEW_TASKS, tasks)
    wake_ups = [WakeUp(run.id, task.id, task.queue) for task in plan.tasks if task.id in queued]
    _carry_out(session, run, {task_id: moves[task_id] for task_id in moves if task_id not in queued})
    _end_if_done(session, run, waiting | moves)
    return _unless_backlog(session, wake_ups)


def advance(session: Session, run: RunRow) -> list[WakeUp]:
    """Finish tasks with stored artifacts, queue tasks with all their inputs, and end the run after its last task.

    Returns:
        Wake-ups to send after the commit.
    """
    plan = lifecycle.plan_of(run)
    artifact_rows.lock_artifacts(session)
    statuses = {task_id: status for task_id, status in session.execute(_STATUSES, {"run_id": run.id})}  # noqa: C416
    moves = _moves(plan, statuses, artifact_rows.stored_keys(session, plan.keys))
    wake_ups = _carry_out(session, run, moves)
    _end_if_done(session, run, statuses | moves)
    return _unless_backlog(session, wake_ups)


def made_tasks(session: Session, run: RunRow) -> set[str]:
    """Return the ids of the run's tasks whose artifacts, and whose parts for other tasks, are all stored."""
    plan = lifecycle.plan_of(run)
    stored = artifact_rows.stored_keys(session, plan.keys)
    return {task.id for task in plan.tasks if _reusable(task, plan, stored)}


def _moves(plan: Plan, statuses: Mapping[str, str], stored: set[str]) -> dict[str, str]:
    """Return the new status of each waiting task that changes: succeeded if stored, queued if its inputs are there."""
    suppliers = {part.task: part for task in plan.tasks for part in task.parts if part.effect != "keeps"}
    updated = dict(statuses)
    for task in plan.tasks:
        if updated[task.id] != TaskStatus.WAITING:
            continue
        if _reusable(task, plan, stored):
            updated[task.id] = TaskStatus.SUCCEEDED
        elif _ready(task, updated, suppliers.get(task.id), stored):
            updated[task.id] = TaskStatus.QUEUED
    return {task_id: status for task_id, status in updated.items() if status != statuses[task_id]}


def _reusable(task: PlannedTask, plan: Plan, stored: set[str]) -> bool:
    return task.key in stored and all(_served(part, plan, stored) for part in task.parts)


def _served(part: Part, plan: Plan, stored: set[str]) -> bool:
    """Return True if the part is stored, or the artifact of the task that needs the part is stored."""
    return part.key in stored or (part.effect != "keeps" and plan.task(part.task).key in stored)


def _ready(task: PlannedTask, statuses: Mapping[str, str], supplier: Part | None, stored: set[str]) -> bool:
    if supplier:
        return supplier.effect == "releases" and supplier.key in stored
    return all(statuses[need] == TaskStatus.SUCCEEDED for need in task.needs)


def _carry_out(session: Session, run: RunRow, moves: Mapping[str, str]) -> list[WakeUp]:
    """Apply the new statuses to tasks; returns the wake-ups of the tasks that are queued now."""
    wake_ups = []
    for batch in batches(moves):
        for task_id, row in lifecycle.tasks_of(session, run.id, only=batch).items():
            if moves[task_id] == TaskStatus.QUEUED:
                wake_ups.append(lifecycle.queue(session, run, row))
            else:
                lifecycle.succeed(session, run, row, reused=True)
    return wake_ups


def _end_if_done(session: Session, run: RunRow, statuses: Mapping[str, str]) -> None:
    if all(status == TaskStatus.SUCCEEDED for status in statuses.values()):
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
