"""Runs as the API sees them: accept, list, cancel, retry, delete, and what happened."""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.domain.plan import Plan
from core.domain.run import RunStatus, StageStatus
from core.domain.spec import RunSpec
from core.errors import ConflictError, NotFoundError
from core.store import lifecycle
from core.store.lifecycle import Bell
from core.store.tables import ArtifactRow, EventRow, IdempotencyRow, RunRow, StageRow


def accept(
    session: Session, run_id: str, spec: RunSpec, plan: Plan, *, drawn_from: str | None = None
) -> tuple[RunRow, list[Bell]]:
    """Write a run with its stages; what is stored already is not made again."""
    run = RunRow(
        id=run_id,
        name=spec.name,
        status=RunStatus.QUEUED,
        spec=spec.model_dump(mode="json"),
        plan=plan.model_dump(mode="json"),
        drawn_from=drawn_from,
        created_at=lifecycle.clock(session),
    )
    session.add(run)
    session.flush()
    session.add_all(
        StageRow(
            run_id=run_id,
            id=stage.id,
            name=stage.name,
            position=position,
            queue=stage.queue,
            key=stage.key,
            status=StageStatus.WAITING,
        )
        for position, stage in enumerate(plan.stages)
    )
    session.flush()
    lifecycle.emit(session, run, "run.queued")
    return run, lifecycle.advance(session, run)


def get(session: Session, run_id: str) -> RunRow:
    """One run.

    Raises:
        NotFoundError: there is no such run.
    """
    run = session.get(RunRow, run_id)
    if run is None:
        raise NotFoundError(f"There is no run {run_id}. GET /v1/runs lists those there are.")
    return run


def page(session: Session, *, before: str | None, limit: int) -> list[RunRow]:
    """Up to `limit` runs, newest first (ids rise with time), older than the run `before`."""
    query = select(RunRow).order_by(RunRow.id.desc()).limit(limit)
    return list(session.scalars(query.where(RunRow.id < before) if before else query))


def events(session: Session, run_id: str, *, after: int, limit: int) -> list[EventRow]:
    """Up to `limit` events after number `after`, in order."""
    query = select(EventRow).where(EventRow.run_id == run_id, EventRow.seq > after)
    return list(session.scalars(query.order_by(EventRow.seq).limit(limit)))


def cancel(session: Session, run_id: str) -> RunRow:
    """Ask a run to stop. Queued stages stop now, a running one when its worker sees it; a finished run stays."""
    run = lifecycle.lock(session, run_id)
    if RunStatus(run.status).terminal or run.status == RunStatus.CANCELLING:
        return run
    rows = lifecycle.stages_of(session, run_id).values()
    lifecycle.drop_unfinished(rows)
    if any(row.status == StageStatus.RUNNING for row in rows):
        lifecycle.move(session, run, RunStatus.CANCELLING)
    else:
        lifecycle.move(session, run, RunStatus.CANCELLED)
    return run


def retry(session: Session, run_id: str) -> tuple[RunRow, list[Bell]]:
    """Start a failed or cancelled run again; finished stages are kept.

    Raises:
        ConflictError: the run is neither failed nor cancelled.
    """
    run = lifecycle.lock(session, run_id)
    if run.status not in {RunStatus.FAILED, RunStatus.CANCELLED}:
        raise ConflictError(f"The run is {run.status}; only a failed or cancelled run can be retried.")
    for row in lifecycle.stages_of(session, run_id).values():
        if row.status != StageStatus.SUCCEEDED:
            row.status = StageStatus.WAITING
            row.attempt = row.done = row.total = 0
            row.token += 1
            row.started_at = row.finished_at = row.lease_until = row.worker_id = None
    run.started_at = None
    lifecycle.move(session, run, RunStatus.QUEUED)
    return run, lifecycle.advance(session, run)


def remove(session: Session, run_id: str) -> list[str]:
    """Delete a run that has ended.

    Returns:
        Keys of the artifacts that no other run shares, to be deleted from the store after the commit.

    Raises:
        ConflictError: the run has not ended.
    """
    run = lifecycle.lock(session, run_id)
    if not RunStatus(run.status).terminal:
        raise ConflictError(f"The run is {run.status}. Cancel it, wait until it has stopped, then delete it.")
    plan = lifecycle.plan_of(run)
    kept = _shared_keys(session, run_id, [stage.key for stage in plan.stages])
    orphans = [stage.key for stage in plan.stages if stage.key not in kept]
    orphans += [part.key for stage in plan.stages for part in stage.parts if plan.stage(part.stage).key not in kept]
    for start in range(0, len(orphans), 500):
        session.execute(delete(ArtifactRow).where(ArtifactRow.key.in_(orphans[start : start + 500])))
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.run_id == run_id))
    session.execute(delete(EventRow).where(EventRow.run_id == run_id))
    session.execute(delete(StageRow).where(StageRow.run_id == run_id))
    session.delete(run)
    return sorted(set(orphans))


def _shared_keys(session: Session, run_id: str, keys: list[str]) -> set[str]:
    shared: set[str] = set()
    for start in range(0, len(keys), 500):
        chunk = keys[start : start + 500]
        shared.update(session.scalars(select(StageRow.key).where(StageRow.key.in_(chunk), StageRow.run_id != run_id)))
    return shared


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a checkpoint once it is embedded."""

    index: int
    facts: dict[str, float]


def frames(session: Session, run: RunRow) -> list[Frame]:
    """The checkpoints embedded so far, in order, with the facts of each."""
    query = (
        select(StageRow.id, ArtifactRow.facts)
        .join(ArtifactRow, ArtifactRow.key == StageRow.key)
        .where(StageRow.run_id == run.id, StageRow.name == "embed", StageRow.status == StageStatus.SUCCEEDED)
        .order_by(StageRow.position)
    )
    return [Frame(int(stage_id.split("/")[1]), facts) for stage_id, facts in session.execute(query)]


def artifact(session: Session, run: RunRow, stage_id: str) -> ArtifactRow | None:
    """The artifact of a finished stage, None while it is not there."""
    query = (
        select(ArtifactRow)
        .join(StageRow, StageRow.key == ArtifactRow.key)
        .where(StageRow.run_id == run.id, StageRow.id == stage_id, StageRow.status == StageStatus.SUCCEEDED)
    )
    return session.scalars(query).one_or_none()


def remembered(session: Session, key: str) -> IdempotencyRow | None:
    """What was answered to this Idempotency-Key."""
    return session.get(IdempotencyRow, key)


def remember(session: Session, key: str, *, digest: str, run_id: str) -> None:
    """Keep the answer to an Idempotency-Key, in the transaction that makes the run."""
    session.add(IdempotencyRow(key=key, digest=digest, run_id=run_id, created_at=lifecycle.clock(session)))


def missing(run_id: str, what: str) -> NotFoundError:
    """The error for a thing that a run has not."""
    return NotFoundError(f"Run {run_id} has no {what}.")
