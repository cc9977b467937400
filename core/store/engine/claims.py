"""Claims: the right of a worker to run one task, for as long as its lease is renewed.

Every write under a claim is fenced. The write takes effect only while the task runs under the claim's token. So a
frozen worker whose task another worker has taken changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.domain.plan import Part, PlannedTask
from core.domain.run import RunStatus, TaskStatus
from core.domain.spec import RunSpec
from core.store.database.batches import batches
from core.store.database.session import clock, now
from core.store.database.tables import ArtifactRow, RunRow, TaskRow
from core.store.engine import artifact_references, artifact_rows, counts, lifecycle, scheduling
from core.store.engine.claim import Claim
from core.store.engine.lifecycle import QUEUED, TaskId, WakeUp


class LeaseState(Enum):
    """State of a claim.

    HELD: the task continues. CANCEL: the task stops because the run is being cancelled. LOST: the task stops because
    the claim is no longer valid.
    """

    HELD = "held"
    CANCEL = "cancel"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Published:
    """Work for the caller after the commit: wake-ups to send, and locations to delete from the store."""

    wake_ups: tuple[WakeUp, ...] = ()
    unneeded: tuple[str, ...] = ()


def next_queued(session: Session, *, queues: Iterable[str]) -> TaskId | None:
    """Return the first queued task of the earliest run in these queues; None if no task is queued."""
    query = select(TaskRow.run_id, TaskRow.id).where(TaskRow.status == QUEUED, TaskRow.queue.in_(list(queues)))
    found = session.execute(query.order_by(TaskRow.run_id, TaskRow.position).limit(1)).first()
    return TaskId(*found) if found else None


def claim(
    session: Session, run_id: str, task_id: str, *, worker_id: str, lease_seconds: float
) -> Claim | Published | None:
    """Claim a queued task.

    Args:
        session: transaction of the caller.
        run_id: id of the run.
        task_id: id of the task within the run.
        worker_id: id of the worker that claims the task.
        lease_seconds: duration of the lease.

    Returns:
        The claim. A `Published` if another run has stored the same artifact, so that the task succeeds without work.
        None if another worker has the task, or the task is not queued any more.
    """
    if not _is_queued(session, run_id, task_id):
        return None
    run = lifecycle.lock(session, run_id)
    if (skipped := _skip(session, run, task_id)) is not None:
        return skipped
    row = _take(session, run_id, task_id, worker_id=worker_id, lease_seconds=lease_seconds)
    return _started(session, run, row) if row else None


def _is_queued(session: Session, run_id: str, task_id: str) -> bool:
    """Return True if the task is queued.

    The run is not locked, because most wake-ups find that the task is already claimed.
    """
    query = select(TaskRow.id).where(
        TaskRow.run_id == run_id, TaskRow.id == task_id, TaskRow.status == TaskStatus.QUEUED
    )
    return session.scalars(query).first() is not None


def _take(session: Session, run_id: str, task_id: str, *, worker_id: str, lease_seconds: float) -> TaskRow | None:
    """Give a queued task to a worker under a new token; return None if the task is not queued any more."""
    taken = (
        update(TaskRow)
        .where(TaskRow.run_id == run_id, TaskRow.id == task_id, TaskRow.status == TaskStatus.QUEUED)
        .values(
            status=TaskStatus.RUNNING,
            token=TaskRow.token + 1,
            attempt=TaskRow.attempt + 1,
            lease_until=now() + lease_seconds,
            worker_id=worker_id,
            started_at=now(),
            notify_at=None,
            done=0,
        )
        .returning(TaskRow)
    )
    return session.scalars(taken, execution_options={"populate_existing": True}).first()


def _started(session: Session, run: RunRow, row: TaskRow) -> Claim:
    """Record that a task has started, and return its claim."""
    queued_at, started_at = cast("float", row.queued_at), cast("float", row.started_at)  # both are set by now
    counts.started(session, queue=row.queue, queued_at=queued_at, at=started_at)
    if run.status == RunStatus.QUEUED:
        run.started_at = clock(session)
        lifecycle.move(session, run, RunStatus.RUNNING)
    plan = lifecycle.plan_of(run)
    task = plan.task(row.id)
    state = artifact_rows.recorded(session, [row.state_key]).get(row.state_key) if row.state_key else None
    step = row.state_step if state else None
    # A token above 1 means an earlier attempt: the task was lost, given back, or retried by the user.
    unneeded = _forget_parts(session, run, task, after=step) if row.token > 1 else []
    begun = {"attempt": row.attempt, "worker": row.worker_id} | ({} if step is None else {"resumed_step": step})
    lifecycle.emit(session, run, "stage.started", stage=row.id, **begun)
    spec = RunSpec.model_validate(run.spec)
    return Claim(run.id, task, row.token, row.attempt, spec, plan, state, tuple(unneeded))


def _skip(session: Session, run: RunRow, task_id: str) -> Published | None:
    """Finish a queued task whose artifact is stored; return None if there is none or the task is not queued."""
    row = session.get(TaskRow, (run.id, task_id), populate_existing=True)
    if row is None or row.status != TaskStatus.QUEUED or not artifact_rows.stored_keys(session, [row.key]):
        return None
    artifact_rows.lock_artifacts(session, to_delete=True)
    if task_id not in scheduling.made_tasks(session, run):
        return None
    lifecycle.succeed(session, run, row, reused=True)
    consumed = artifact_rows.forget_consumed(session, lifecycle.plan_of(run), row)
    session.flush()
    return Published(tuple(scheduling.advance(session, run)), tuple(consumed))


def _forget_parts(session: Session, run: RunRow, task: PlannedTask, *, after: int | None) -> list[str]:
    """Withdraw the parts that a lost attempt published after the state that the task resumes from.

    Without this, a film could mix frames of two trainings.

    Args:
        session: transaction of the caller.
        run: the locked run.
        task: the task.
        after: step of that state; None withdraws all parts.

    Returns:
        Locations to delete from the store after the commit.
    """
    rows = lifecycle.tasks_of(session, run.id)
    parts = list(task.parts) if after is None else _beyond(session, rows, task, after)
    if not parts:
        return []
    artifact_rows.lock_artifacts(session, to_delete=True)
    served = {
        part.key: rows[part.task].key for part in parts
    }  # if two runs have the same task, they also have the same parts for it
    supplied = {part.task for part in parts if part.effect != "keeps"}
    shared = artifact_rows.shared_keys(session, run.id, served.values())
    keys = set(served) | {rows[task_id].key for task_id in supplied}
    deleted = keys - artifact_references.referenced_by_others(session, run.id, keys)
    unshared = sorted(key for key in deleted if served.get(key, key) not in shared)
    locations = artifact_rows.forget_artifacts(session, unshared)
    kept = artifact_rows.stored_keys(session, keys)
    for task_id in supplied:
        row = rows[task_id]
        if row.key not in kept and row.status != TaskStatus.WAITING:
            row.status = TaskStatus.WAITING
            row.token += 1
            row.lease_until = row.notify_at = row.started_at = row.finished_at = None
    return locations


def _beyond(session: Session, rows: Mapping[str, TaskRow], task: PlannedTask, after: int) -> list[Part]:
    """Return the parts of steps after `after`.

    The plan does not know the step of some parts. The step of such a part is read from the published artifact.
    """
    unknown = {key for part in task.parts if part.step is None for key in (part.key, rows[part.task].key)}
    captured: dict[str, int] = {}
    for batch in batches(unknown):
        query = select(ArtifactRow.key, ArtifactRow.facts).where(ArtifactRow.key.in_(batch))
        captured |= {key: facts["step"] for key, facts in session.execute(query)}

    def step(part: Part) -> int:
        if part.step is not None:
            return part.step
        return max(captured.get(key, 0) for key in (part.key, rows[part.task].key))  # 0 if nothing is published

    return [part for part in task.parts if step(part) > after]


def renew(session: Session, held: Claim, *, lease_seconds: float) -> LeaseState:
    """Renew the lease of a claim, and return the state of the claim."""
    extended = update(TaskRow).where(*_mine(held)).values(lease_until=now() + lease_seconds).returning(TaskRow.id)
    if session.execute(extended).first() is None:
        counts.FENCED_WRITES.add(session, write="renew")
        return LeaseState.LOST
    return lease_state(session, held)


def lease_state(session: Session, held: Claim) -> LeaseState:
    """Return the state of a claim without renewing the lease."""
    if not in_force(session, held):
        return LeaseState.LOST
    status = session.scalars(select(RunRow.status).where(RunRow.id == held.run_id)).one()
    return LeaseState.HELD if status == RunStatus.RUNNING else LeaseState.CANCEL


def in_force(session: Session, held: Claim) -> bool:
    """Return True if the claim is still valid."""
    return session.scalars(select(TaskRow.id).where(*_mine(held))).first() is not None


def write_refused(session: Session, held: Claim, write: str) -> bool:
    """Return True, and count a fenced write, if the claim is no longer valid: the caller must not write then."""
    if in_force(session, held):
        return False
    counts.FENCED_WRITES.add(session, write=write)
    return True


def _mine(held: Claim) -> tuple[Any, ...]:
    return (
        TaskRow.run_id == held.run_id,
        TaskRow.id == held.task.id,
        TaskRow.token == held.token,
        TaskRow.status == TaskStatus.RUNNING,
    )


def progress(session: Session, held: Claim, *, done: int, total: int) -> None:
    """Store the progress of the task.

    Args:
        session: transaction of the caller.
        held: the claim under which the task runs.
        done: finished units of the task.
        total: all units of the task.
    """
    lifecycle.lock(session, held.run_id)
    session.execute(update(TaskRow).where(*_mine(held)).values(done=done, total=total))


def append_event(session: Session, held: Claim, event: str, data: Mapping[str, Any]) -> None:
    """Append an event of the running task to the events of the run."""
    run = lifecycle.lock(session, held.run_id)
    if not write_refused(session, held, "tell"):
        lifecycle.emit(session, run, event, stage=held.task.id, **data)
