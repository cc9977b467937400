"""Runs as the API sees them: accept, list, cancel, retry, delete, and what happened."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import case, delete, func, insert, select
from sqlalchemy.orm import Session

from core.domain.plan import Plan, StageName
from core.domain.run import RunStatus, StageStatus
from core.domain.spec import RunSpec
from core.errors import ConflictError, NotFoundError
from core.store import lifecycle
from core.store.lifecycle import Bell
from core.store.session import now
from core.store.tables import ArtifactRow, EventRow, IdempotencyRow, RunRow, StageRow

ANSWERS_KEPT_SECONDS = 24 * 3600.0
RECENT_RUNS = 5


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
    stages = [
        {
            "run_id": run_id,
            "id": stage.id,
            "name": stage.name,
            "position": position,
            "queue": stage.queue,
            "key": stage.key,
            "status": StageStatus.WAITING,
        }
        for position, stage in enumerate(plan.stages)
    ]
    session.execute(insert(StageRow), stages)
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
    lifecycle.hold_artifacts(session, to_delete=True)
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


def forget_answers(session: Session) -> None:
    """Let go of the Idempotency-Keys that are older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now() - ANSWERS_KEPT_SECONDS))


def unclaimed(session: Session, keys: Iterable[str]) -> list[str]:
    """Those of these keys that no stage of any run makes or reads.

    Asked after the commit of `remove`: a run that was accepted since may have begun to make the same artifact.
    """
    wanted = list(keys)
    return [key for key in wanted if key not in _shared_keys(session, "", wanted)]


def drawable(session: Session, run: RunRow) -> bool:
    """Whether all that a new drawing needs of the training is stored."""
    plan = lifecycle.plan_of(run)
    learned = {stage.key for stage in plan.stages if stage.name in {StageName.FINE_TUNE, StageName.EMBED}}
    return lifecycle.stored_keys(session, learned) == learned


@dataclass(frozen=True, slots=True)
class StageGroup:
    """The tasks of a run that have one stage name and one status."""

    name: str
    queue: str
    status: StageStatus
    tasks: int
    reused: int
    attempt: int
    done: int
    total: int
    started_at: float | None
    finished_at: float | None


def stage_groups(session: Session, run_ids: Iterable[str]) -> dict[str, list[StageGroup]]:
    """The stages of each run, counted by name and status."""
    groups: dict[str, list[StageGroup]] = {run_id: [] for run_id in run_ids}
    query = (
        select(
            StageRow.run_id,
            StageRow.name,
            StageRow.queue,
            StageRow.status,
            func.count(),
            func.sum(case((StageRow.reused, 1), else_=0)),
            func.max(StageRow.attempt),
            func.sum(StageRow.done),
            func.sum(StageRow.total),
            func.min(StageRow.started_at),
            func.max(StageRow.finished_at),
        )
        .where(StageRow.run_id.in_(list(groups)))
        .group_by(StageRow.run_id, StageRow.name, StageRow.queue, StageRow.status)
    )
    for run_id, name, queue, status, *counted in session.execute(query):
        groups[run_id].append(StageGroup(name, queue, StageStatus(status), *counted))
    return groups


def captured_steps(session: Session, run_ids: Iterable[str]) -> dict[str, list[int]]:
    """The steps of each run's checkpoints, without reading the rest of its plan."""
    query = select(RunRow.id, RunRow.plan["steps"]).where(RunRow.id.in_(list(run_ids)))
    return {run_id: steps for run_id, steps in session.execute(query)}  # noqa: C416 - rows are no pairs to mypy


def seconds_per_frame(session: Session) -> dict[str, float]:
    """How long the stages after training last took, divided by the frames of their run.

    Read from the newest runs that succeeded; a stage that was not run in any of them, or only reused, is left out.
    """
    recent = select(RunRow.id).where(RunRow.status == RunStatus.SUCCEEDED).order_by(RunRow.id.desc()).limit(RECENT_RUNS)
    run_ids = list(session.scalars(recent))
    steps = captured_steps(session, run_ids)
    query = (
        select(StageRow.run_id, StageRow.name, StageRow.finished_at - StageRow.started_at)
        .where(
            StageRow.run_id.in_(run_ids),
            StageRow.name.in_([StageName.SCORE, StageName.PROJECT, StageName.RENDER]),
            StageRow.reused.is_(False),
        )
        .order_by(StageRow.run_id)
    )
    pace: dict[str, float] = {}
    for run_id, name, seconds in session.execute(query):
        if seconds is not None:
            pace[name] = seconds / len(steps[run_id])  # the newest run comes last
    return pace


def missing(run_id: str, what: str) -> NotFoundError:
    """The error for a thing that a run has not."""
    return NotFoundError(f"Run {run_id} has no {what}.")
