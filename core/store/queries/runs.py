"""Operations of the API on runs: accept, list, cancel, retry, delete, and read events and artifacts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from core.domain.plan import Plan
from core.domain.run import RunStatus, TaskStatus
from core.domain.spec import RunSpec
from core.domain.stages import STAGES
from core.errors import ConflictError, NotFoundError
from core.store.database.session import clock
from core.store.database.tables import DEFAULT_TENANT, EventRow, RunRow, TaskRow
from core.store.engine import artifact_references, artifact_rows, counts, lifecycle, scheduling
from core.store.engine.lifecycle import WakeUp
from core.store.objects.stored import Stored
from core.store.queries import idempotency


def accept(
    session: Session,
    run_id: str,
    spec: RunSpec,
    plan: Plan,
    *,
    tenant: str = DEFAULT_TENANT,
    drawn_from: str | None = None,
    among: Collection[str] | None = None,
) -> tuple[RunRow, list[WakeUp]]:
    """Insert a run with its tasks. Tasks with stored artifacts are not run again.

    Args:
        session: transaction of the caller.
        run_id: id of the run.
        spec: spec of the run.
        plan: plan of the run.
        tenant: owner of the rows.
        drawn_from: id of the run whose training this run draws again; None if the run has its own training.
        among: keys of artifacts that may be stored; None means all keys of the plan.

    Returns:
        The run, and the wake-ups to send after the commit.
    """
    run = RunRow(
        id=run_id,
        tenant=tenant,
        name=spec.name,
        status=RunStatus.QUEUED,
        spec=spec.model_dump(mode="json"),
        plan=plan.model_dump(mode="json"),
        drawn_from=drawn_from,
        created_at=clock(session),
        event_seq=1,
    )
    session.add(run)
    session.flush()
    artifact_references.add_references(session, run_id, spec, plan)
    lifecycle.append_event_at_current_number(session, run, "run.queued")
    counts.RUNS_ACCEPTED.add(session)
    return run, scheduling.begin(session, run, plan, among=plan.keys if among is None else among)


def get(session: Session, run_id: str) -> RunRow:
    """Return one run of any tenant, for the engine. The API calls `of_tenant`.

    Raises:
        NotFoundError: there is no such run.
    """
    return _found(session.get(RunRow, run_id), run_id)


def of_tenant(session: Session, run_id: str, *, tenant: str, hold: bool = False) -> RunRow:
    """Return one run of a tenant.

    Args:
        session: transaction of the caller.
        run_id: id of the run.
        tenant: owner of the rows.
        hold: True locks the run until the commit, so that it is not changed or deleted.

    Raises:
        NotFoundError: the tenant has no such run. The error is the same for a run of another tenant.
    """
    query = select(RunRow).where(RunRow.id == run_id, RunRow.tenant == tenant)
    return _found(session.scalar(query.with_for_update() if hold else query), run_id)


def _found(run: RunRow | None, run_id: str) -> RunRow:
    if run is None:
        raise NotFoundError(f"There is no run {run_id}. GET /v1/runs lists the existing ones.")
    return run


def in_flight(session: Session, *, tenant: str) -> int:
    """Return the number of queued and running runs of a tenant.

    Other transactions that count the runs of this tenant wait until the commit. So the caller may add a run safely.
    """
    artifact_rows.lock_key(session, f"runs in flight of {tenant}")
    statuses = [RunStatus.QUEUED, RunStatus.RUNNING]
    return session.scalar(select(func.count()).where(RunRow.tenant == tenant, RunRow.status.in_(statuses))) or 0


_THESE = select(RunRow).where(RunRow.id.in_(bindparam("run_ids", expanding=True)))


def these(session: Session, run_ids: Sequence[str]) -> list[RunRow]:
    """Return the runs with these ids; unknown ids are left out."""
    return list(session.scalars(_THESE, {"run_ids": run_ids}))


def page(session: Session, *, tenant: str, before: str | None, limit: int) -> list[RunRow]:
    """Return up to `limit` runs of a tenant, newest first. Ids rise with time.

    Args:
        session: transaction of the caller.
        tenant: owner of the rows.
        before: id of a run; only older runs are returned. None starts with the newest.
        limit: largest number of rows.
    """
    query = select(RunRow).where(RunRow.tenant == tenant).order_by(RunRow.id.desc()).limit(limit)
    return list(session.scalars(query.where(RunRow.id < before) if before else query))


def events(session: Session, run_id: str, *, after: int, limit: int) -> list[EventRow]:
    """Return up to `limit` events after number `after`, in order."""
    query = select(EventRow).where(EventRow.run_id == run_id, EventRow.seq > after)
    return list(session.scalars(query.order_by(EventRow.seq).limit(limit)))


def cancel(session: Session, run_id: str) -> RunRow:
    """Cancel a run.

    Queued tasks are cancelled at once. A running task stops when its worker reads its lease state. A run that has
    ended stays unchanged.
    """
    run = lifecycle.lock(session, run_id)
    if RunStatus(run.status).terminal or run.status == RunStatus.CANCELLING:
        return run
    rows = lifecycle.tasks_of(session, run_id).values()
    lifecycle.drop_unfinished(rows)
    if any(row.status == TaskStatus.RUNNING for row in rows):
        lifecycle.move(session, run, RunStatus.CANCELLING)
    else:
        lifecycle.move(session, run, RunStatus.CANCELLED)
    return run


NOTHING: Mapping[str, Stored] = MappingProxyType({})


def retry(session: Session, run_id: str, *, missing: Mapping[str, Stored] = NOTHING) -> tuple[RunRow, list[WakeUp]]:
    """Retry a run that failed, was cancelled, or lost artifacts. Finished tasks are kept.

    Args:
        session: transaction of the caller.
        run_id: id of the run.
        missing: artifacts of this run whose files are missing, by key. They are made again.

    Returns:
        The run, and the wake-ups to send after the commit.

    Raises:
        ConflictError: the run has not ended, or has succeeded and none of its artifacts is missing.
    """
    run = lifecycle.lock(session, run_id)
    if not RunStatus(run.status).terminal:
        raise ConflictError(f"The run is {run.status}; only a run that has ended can be retried.")
    artifact_rows.lock_artifacts(session, to_delete=True)
    artifact_rows.forget_lost(session, missing)
    made = scheduling.made_tasks(session, run)
    if run.status == RunStatus.SUCCEEDED and len(made) == len(lifecycle.plan_of(run).tasks):
        raise ConflictError("The run has succeeded and none of its artifacts is missing: there is nothing to retry.")
    for row in lifecycle.tasks_of(session, run_id).values():
        if row.status != TaskStatus.SUCCEEDED or row.id not in made:
            row.status = TaskStatus.WAITING
            row.attempt = row.done = row.total = 0
            row.token += 1
            row.started_at = row.finished_at = row.lease_until = row.worker_id = None
    run.started_at = None
    lifecycle.move(session, run, RunStatus.QUEUED)
    counts.RUNS_RETRIED.add(session)
    return run, scheduling.advance(session, run)


def stored(session: Session, run_id: str) -> Mapping[str, Stored]:
    """Return the stored folders that a run made or reads, by key: artifacts, parts and states."""
    states = {row.state_key for row in lifecycle.tasks_of(session, run_id).values() if row.state_key}
    plan = lifecycle.plan_of(get(session, run_id))
    return {**stored_for(session, plan), **artifact_rows.recorded(session, sorted(states))}


def stored_for(session: Session, plan: Plan) -> Mapping[str, Stored]:
    """Return the recorded artifacts and parts of a plan, by key."""
    return artifact_rows.recorded(session, plan.keys)


@dataclass(frozen=True, slots=True)
class Removed:
    """Stored data of a deleted run.

    Attributes:
        keys: keys of all artifacts that the run made.
        locations: locations that no other run needs, to delete from the store after the commit.
    """

    keys: list[str]
    locations: list[str]


def remove(session: Session, run_id: str) -> Removed:
    """Delete a run that has ended.

    Returns:
        The keys of the run's artifacts, and the locations to delete from the store after the commit.

    Raises:
        ConflictError: the run has not ended.
    """
    run = lifecycle.lock(session, run_id)
    if not RunStatus(run.status).terminal:
        raise ConflictError(f"The run is {run.status}. Cancel it, wait until it has stopped, then delete it.")
    artifact_rows.lock_artifacts(session, to_delete=True)
    plan = lifecycle.plan_of(run)
    shared = artifact_rows.shared_keys(session, run_id, (task.key for task in plan.tasks))
    made = {task.key: task.key for task in plan.tasks}
    made |= {part.key: plan.task(part.task).key for task in plan.tasks for part in task.parts}
    states = [row.state_key for row in lifecycle.tasks_of(session, run_id).values() if row.state_key]
    referenced = artifact_references.referenced_by_others(session, run_id, made)
    orphans = {key for key, served in made.items() if served not in shared and key not in referenced}
    released = artifact_references.remove_references(session, run_id)
    orphans |= released - artifact_rows.shared_keys(session, run_id, released)
    locations = artifact_rows.forget_artifacts(session, sorted({*orphans, *states}))
    idempotency.forget(session, run_id)
    session.execute(delete(EventRow).where(EventRow.run_id == run_id))
    session.execute(delete(TaskRow).where(TaskRow.run_id == run_id))
    session.delete(run)
    return Removed(sorted({*made, *states}), locations)


def is_comparison(run: RunRow) -> bool:
    """Return True if the run is a comparison, which only draws artifacts of other runs."""
    return bool(run.spec["compared"])


def can_rerender(session: Session, plan: Plan) -> bool:
    """Return True if all artifacts of trainings that the plan needs are stored in the format of this version."""
    learned = {task.key for task in plan.tasks if STAGES[task.name].learns}
    learned |= {key for task in plan.tasks for shown in task.shows for key in shown.keys}
    return artifact_rows.stored_keys(session, learned) == learned


def missing(run_id: str, what: str) -> NotFoundError:
    """Return the error for a resource that a run does not have."""
    return NotFoundError(f"Run {run_id} has no {what}.")
