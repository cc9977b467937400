"""State changes of runs and tasks.

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
from core.domain.run import TRANSITIONS, RunStatus, TaskStatus
from core.errors import EmbedreelError, NotFoundError, StageLostError
from core.store.database.session import clock
from core.store.database.tables import EventRow, RunRow, TaskRow
from core.store.engine import counts, outbox

NOTIFY_AGAIN_SECONDS = 15.0
"""Time from the wake-up of a task that no worker claims to the next wake-up, seconds. Chosen by hand; not measured."""

PLANS_KEPT = 16
"""Number of parsed plans that a process keeps. Chosen by hand: a worker handles few runs at a time.

Parsing the plan of 600 frames takes 3 ms, and each of its tasks needs the plan several times.
"""


_plans: dict[str, Plan] = {}
_plans_lock = threading.Lock()

QUEUED = literal(TaskStatus.QUEUED.value, literal_execute=True)
"""Literal for queries. With a parameter, the database would not use the partial index of queued tasks."""


class TaskId(NamedTuple):
    """Identifies a task of a run."""

    run_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A notification to workers that a task is queued."""

    run_id: str
    task_id: str
    queue: str

    @property
    def task(self) -> TaskId:
        """The queued task."""
        return TaskId(self.run_id, self.task_id)


_TASKS = select(TaskRow).where(TaskRow.run_id == bindparam("run_id")).order_by(TaskRow.position)
_THESE_TASKS = _TASKS.where(TaskRow.id.in_(bindparam("task_ids", expanding=True)))


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


def tasks_of(session: Session, run_id: str, *, only: Sequence[str] | None = None) -> dict[str, TaskRow]:
    """Return the tasks of a run by id, in the order of the plan.

    Args:
        session: transaction of the caller.
        run_id: the run.
        only: ids of the tasks to return; None returns all tasks.
    """
    query = _TASKS if only is None else _THESE_TASKS
    rows = session.scalars(query, {"run_id": run_id, "task_ids": only}, execution_options={"populate_existing": True})
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


def queue(session: Session, run: RunRow, task: TaskRow) -> WakeUp:
    """Queue a task and return its wake-up. The sweep sends the wake-up again if it is lost."""
    task.status = TaskStatus.QUEUED
    task.lease_until = task.worker_id = None
    task.notifications = 0
    task.queued_at = clock(session)
    task.notify_at = task.queued_at + NOTIFY_AGAIN_SECONDS
    return WakeUp(run.id, task.id, task.queue)


def succeed(session: Session, run: RunRow, task: TaskRow, *, reused: bool = False) -> None:
    """Mark a task as succeeded; its artifact is stored."""
    at = clock(session)
    counts.succeeded(session, task, at=at, reused=reused)
    task.status = TaskStatus.SUCCEEDED
    task.reused = reused
    task.lease_until = task.notify_at = None
    task.started_at = task.started_at or at
    task.finished_at = at
    task.total = task.done = max(task.total, 1)
    emit(session, run, "stage.succeeded", stage=task.id, reused=reused)


def drop_unfinished(rows: Iterable[TaskRow], *, but: TaskRow | None = None) -> None:
    """Cancel all waiting and queued tasks except `but`."""
    for row in rows:
        if row is not but and row.status in {TaskStatus.WAITING, TaskStatus.QUEUED}:
            row.status = TaskStatus.CANCELLED
            row.notify_at = None


def end_task(session: Session, task: TaskRow, status: TaskStatus) -> None:
    """End a task with this status and release its lease."""
    task.status = status
    task.lease_until = task.notify_at = None
    task.finished_at = clock(session)
    counts.STAGES_ENDED.add(session, stage=task.name, outcome=status)
    session.flush()


def fail(session: Session, run: RunRow, task: TaskRow, error: EmbedreelError) -> None:
    """Fail the task with this error. The run fails too, unless it is being cancelled or has ended."""
    end_task(session, task, TaskStatus.FAILED)
    emit(session, run, "stage.failed", stage=task.id, error=error.describe())
    if run.status == RunStatus.CANCELLING:
        settle_cancel(session, run)
    elif not RunStatus(run.status).terminal:
        drop_unfinished(tasks_of(session, run.id).values(), but=task)
        move(session, run, RunStatus.FAILED, error=error)


def requeue(
    session: Session, run: RunRow, task: TaskRow, *, reason: str, blame: bool, max_attempts: int
) -> list[WakeUp]:
    """Queue a task again for another worker.

    The task fails instead if it was lost too often. The task is cancelled instead if the run is not running.

    Args:
        session: transaction of the caller.
        run: the locked run.
        task: the task.
        reason: why the task was lost, for the event and for the error of a run that fails.
        blame: False if the attempt does not count, because the worker was asked to stop.
        max_attempts: number of counted attempts after which the task fails.

    Returns:
        Wake-ups to send after the commit.
    """
    if run.status != RunStatus.RUNNING:
        end_task(session, task, TaskStatus.CANCELLED)
        settle_cancel(session, run)
        return []
    if blame and task.attempt >= max_attempts:
        lost = f"Stage {task.id} was lost {task.attempt} times; the last time: {reason}."
        fail(session, run, task, StageLostError(f"{lost} Retry the run, or make it smaller."))
        return []
    task.attempt -= 0 if blame else 1
    task.token += 1  # from here on, writes of the old claim are fenced
    emit(session, run, "stage.requeued", stage=task.id, reason=reason)
    counts.STAGES_ENDED.add(session, stage=task.name, outcome="requeued")
    return [queue(session, run, task)]


def settle_cancel(session: Session, run: RunRow) -> None:
    """End a run that is being cancelled if none of its tasks is running."""
    rows = tasks_of(session, run.id).values()
    if run.status == RunStatus.CANCELLING and not any(row.status == TaskStatus.RUNNING for row in rows):
        move(session, run, RunStatus.CANCELLED)
