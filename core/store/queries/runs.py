"""Operations of the API on runs: accept, list, cancel, retry, delete, and read events and artifacts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import bindparam, case, delete, exists, func, select
from sqlalchemy.orm import Session

from core.domain.plan import SKIPPED, Plan
from core.domain.run import RunStatus, StageStatus
from core.domain.spec import RunSpec
from core.domain.stages import EMBED, FINE_TUNE, RENDER, STAGES
from core.errors import ConflictError, NotFoundError
from core.store.database.batches import batches
from core.store.database.tables import DEFAULT_TENANT, ArtifactRow, EventRow, RunRow, StageRow
from core.store.engine import artifact_references, counts, lifecycle
from core.store.engine.claims import recorded
from core.store.engine.lifecycle import WakeUp
from core.store.objects.stored import Stored
from core.store.queries import idempotency

RECENT_RUNS = 5
"""Runs that `seconds_per_frame` reads. A choice: more runs cover more stages and cost a longer query."""


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
    """Insert a run with its stages. Stages with stored artifacts are not run again.

    Args:
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
        created_at=lifecycle.clock(session),
        event_seq=1,
    )
    session.add(run)
    session.flush()
    artifact_references.add_references(session, run_id, spec, plan)
    lifecycle.append_event_at_current_number(session, run, "run.queued")
    counts.RUNS_ACCEPTED.add(session)
    return run, lifecycle.begin(session, run, plan, among=plan.keys if among is None else among)


def get(session: Session, run_id: str) -> RunRow:
    """Return one run of any tenant, for the engine. The API calls `of_tenant`.

    Raises:
        NotFoundError: there is no such run.
    """
    return _found(session.get(RunRow, run_id), run_id)


def of_tenant(session: Session, run_id: str, *, tenant: str, hold: bool = False) -> RunRow:
    """Return one run of a tenant.

    Args:
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
    lifecycle.lock_key(session, f"runs in flight of {tenant}")
    statuses = [RunStatus.QUEUED, RunStatus.RUNNING]
    return session.scalar(select(func.count()).where(RunRow.tenant == tenant, RunRow.status.in_(statuses))) or 0


_THESE = select(RunRow).where(RunRow.id.in_(bindparam("run_ids", expanding=True)))


def these(session: Session, run_ids: Sequence[str]) -> list[RunRow]:
    """Return the runs with these ids; unknown ids are left out."""
    return list(session.scalars(_THESE, {"run_ids": run_ids}))


def page(session: Session, *, tenant: str, before: str | None, limit: int) -> list[RunRow]:
    """Return up to `limit` runs of a tenant, newest first. Ids rise with time.

    Args:
        before: id of a run; only older runs are returned. None starts with the newest.
    """
    query = select(RunRow).where(RunRow.tenant == tenant).order_by(RunRow.id.desc()).limit(limit)
    return list(session.scalars(query.where(RunRow.id < before) if before else query))


def events(session: Session, run_id: str, *, after: int, limit: int) -> list[EventRow]:
    """Return up to `limit` events after number `after`, in order."""
    query = select(EventRow).where(EventRow.run_id == run_id, EventRow.seq > after)
    return list(session.scalars(query.order_by(EventRow.seq).limit(limit)))


def cancel(session: Session, run_id: str) -> RunRow:
    """Cancel a run.

    Queued stages are cancelled at once. A running stage stops when its worker reads its lease state. A run that has
    ended stays unchanged.
    """
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


NOTHING: Mapping[str, Stored] = MappingProxyType({})


def retry(session: Session, run_id: str, *, missing: Mapping[str, Stored] = NOTHING) -> tuple[RunRow, list[WakeUp]]:
    """Retry a run that failed, was cancelled, or lost artifacts. Finished stages are kept.

    Args:
        missing: artifacts of this run whose files are missing, by key. They are made again.

    Returns:
        The run, and the wake-ups to send after the commit.

    Raises:
        ConflictError: the run has not ended, or has succeeded and none of its artifacts is missing.
    """
    run = lifecycle.lock(session, run_id)
    if not RunStatus(run.status).terminal:
        raise ConflictError(f"The run is {run.status}; only a run that has ended can be retried.")
    lifecycle.lock_artifacts(session, to_delete=True)
    lifecycle.forget_lost(session, missing)
    made = lifecycle.made_stages(session, run)
    if run.status == RunStatus.SUCCEEDED and len(made) == len(lifecycle.plan_of(run).stages):
        raise ConflictError("The run has succeeded and none of its artifacts is missing: there is nothing to retry.")
    for row in lifecycle.stages_of(session, run_id).values():
        if row.status != StageStatus.SUCCEEDED or row.id not in made:
            row.status = StageStatus.WAITING
            row.attempt = row.done = row.total = 0
            row.token += 1
            row.started_at = row.finished_at = row.lease_until = row.worker_id = None
    run.started_at = None
    lifecycle.move(session, run, RunStatus.QUEUED)
    counts.RUNS_RETRIED.add(session)
    return run, lifecycle.advance(session, run)


def stored(session: Session, run_id: str) -> Mapping[str, Stored]:
    """Return the stored folders that a run made or reads, by key: artifacts, parts and states."""
    states = {row.state_key for row in lifecycle.stages_of(session, run_id).values() if row.state_key}
    plan = lifecycle.plan_of(get(session, run_id))
    return {**stored_for(session, plan), **recorded(session, sorted(states))}


def stored_for(session: Session, plan: Plan) -> Mapping[str, Stored]:
    """Return the recorded artifacts and parts of a plan, by key."""
    return recorded(session, plan.keys)


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
    lifecycle.lock_artifacts(session, to_delete=True)
    plan = lifecycle.plan_of(run)
    shared = lifecycle.shared_keys(session, run_id, (stage.key for stage in plan.stages))
    made = {stage.key: stage.key for stage in plan.stages}
    made |= {part.key: plan.stage(part.stage).key for stage in plan.stages for part in stage.parts}
    states = [row.state_key for row in lifecycle.stages_of(session, run_id).values() if row.state_key]
    referenced = artifact_references.referenced_by_others(session, run_id, made)
    orphans = {key for key, served in made.items() if served not in shared and key not in referenced}
    released = artifact_references.remove_references(session, run_id)
    orphans |= released - lifecycle.shared_keys(session, run_id, released)
    locations = lifecycle.forget_artifacts(session, sorted({*orphans, *states}))
    idempotency.forget(session, run_id)
    session.execute(delete(EventRow).where(EventRow.run_id == run_id))
    session.execute(delete(StageRow).where(StageRow.run_id == run_id))
    session.delete(run)
    return Removed(sorted({*made, *states}), locations)


@dataclass(frozen=True, slots=True)
class FrameArtifact:
    """An embedded checkpoint: its index in the film, and its facts."""

    index: int
    facts: dict[str, float]


def frames(session: Session, run: RunRow) -> list[FrameArtifact]:
    """Return the embedded checkpoints of a run, in order."""
    query = (
        select(StageRow.id, ArtifactRow.facts)
        .join(ArtifactRow, ArtifactRow.key == StageRow.key)
        .where(StageRow.run_id == run.id, StageRow.name == "embed", StageRow.status == StageStatus.SUCCEEDED)
        .order_by(StageRow.position)
    )
    found = session.execute(query)
    return [FrameArtifact(int(stage_id.split("/")[1]), facts) for stage_id, facts in found if SKIPPED not in facts]


def is_comparison(run: RunRow) -> bool:
    """Return True if the run is a comparison, which only draws artifacts of other runs."""
    return bool(run.spec["compared"])


def artifact(session: Session, run: RunRow, stage_id: str) -> ArtifactRow | None:
    """Return the artifact of a succeeded stage; None if the stage has not succeeded."""
    query = (
        select(ArtifactRow)
        .join(StageRow, StageRow.key == ArtifactRow.key)
        .where(StageRow.run_id == run.id, StageRow.id == stage_id, StageRow.status == StageStatus.SUCCEEDED)
    )
    return session.scalars(query).one_or_none()


def artifacts(session: Session, keys: Iterable[str]) -> dict[str, ArtifactRow]:
    """Return the published artifacts of these keys, by key."""
    found: dict[str, ArtifactRow] = {}
    for batch in batches(keys):
        query = select(ArtifactRow).where(ArtifactRow.key.in_(batch))
        found |= {row.key: row for row in session.scalars(query)}
    return found


def unrecorded(session: Session, locations: Iterable[str]) -> list[str]:
    """Return the subset of these locations that no artifact row names."""
    wanted, recorded_locations = list(locations), set[str]()
    for batch in batches(wanted):
        recorded_locations.update(session.scalars(select(ArtifactRow.location).where(ArtifactRow.location.in_(batch))))
    return [location for location in wanted if location not in recorded_locations]


def can_rerender(session: Session, plan: Plan) -> bool:
    """Return True if all artifacts of trainings that the plan needs are stored in the format of this version."""
    learned = {stage.key for stage in plan.stages if STAGES[stage.name].learns}
    learned |= {key for stage in plan.stages for shown in stage.shows for key in shown.keys}
    return lifecycle.stored_keys(session, learned) == learned


@dataclass(frozen=True, slots=True)
class StageGroup:
    """All stages of a run with the same name and the same status."""

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


# Frequent statements are built once: SQLAlchemy takes longer to build one than SQLite takes to execute it.
_GROUPS = (
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
    .where(StageRow.run_id.in_(bindparam("run_ids", expanding=True)))
    .group_by(StageRow.run_id, StageRow.name, StageRow.queue, StageRow.status)
)
_STEPS = select(RunRow.id, RunRow.plan["steps"]).where(RunRow.id.in_(bindparam("run_ids", expanding=True)))


def stage_groups(session: Session, run_ids: Iterable[str]) -> dict[str, list[StageGroup]]:
    """Return the stages of each run, grouped by name and status."""
    groups: dict[str, list[StageGroup]] = {run_id: [] for run_id in run_ids}
    for run_id, name, queue, status, *sums in session.execute(_GROUPS, {"run_ids": list(groups)}):
        groups[run_id].append(StageGroup(name, queue, StageStatus(status), *sums))
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
        select(StageRow.run_id, func.count())
        .join(ArtifactRow, ArtifactRow.key == StageRow.key)
        .where(
            StageRow.run_id.in_(wanted),
            StageRow.name == EMBED.name,
            StageRow.status == StageStatus.SUCCEEDED,
            ArtifactRow.facts[SKIPPED].as_boolean(),
        )
        .group_by(StageRow.run_id)
    )
    return {run_id: count for run_id, count in session.execute(query)}  # noqa: C416 - mypy does not accept rows as pairs


def seconds_per_frame(session: Session) -> dict[str, float]:
    """Return the latest duration in seconds of each stage after the training, divided by the number of frames.

    The durations are read from the newest RECENT_RUNS runs that succeeded and were drawn. Stages that did not run in
    these runs, or were only reused, are left out.
    """
    trained = exists().where(StageRow.run_id == RunRow.id, StageRow.id == FINE_TUNE.name)  # no comparison
    recent = select(RunRow.id).where(RunRow.status == RunStatus.SUCCEEDED, trained).order_by(RunRow.id.desc())
    query = (
        select(StageRow.run_id, StageRow.name, StageRow.finished_at - StageRow.started_at, StageRow.total)
        .where(
            StageRow.run_id.in_(list(session.scalars(recent.limit(RECENT_RUNS)))),
            StageRow.name.in_([stage.name for stage in STAGES.values() if not stage.learns]),
            StageRow.reused.is_(False),
        )
        .order_by(StageRow.run_id)
    )
    rows = session.execute(query).all()
    drawn = {run_id: frames for run_id, name, _seconds, frames in rows if name == RENDER.name}
    seconds_by_stage: dict[str, float] = {}
    for run_id, name, seconds, _total in rows:
        if seconds is not None and run_id in drawn:
            seconds_by_stage[name] = seconds / drawn[run_id]  # rows are ordered by run, so the newest run wins
    return seconds_by_stage


def missing(run_id: str, what: str) -> NotFoundError:
    """Return the error for a resource that a run does not have."""
    return NotFoundError(f"Run {run_id} has no {what}.")
