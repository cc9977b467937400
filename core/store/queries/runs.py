"""Runs as the API sees them: accept, list, cancel, retry, delete, and what happened."""

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
    """Write a run with its stages; what is stored already is not made again.

    Args:
        among: keys of what may be stored, None: of all that the plan makes.
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
    """One run, whosever it is: for the engine. The API asks `of_tenant`.

    Raises:
        NotFoundError: there is no such run.
    """
    return _found(session.get(RunRow, run_id), run_id)


def of_tenant(session: Session, run_id: str, *, tenant: str, hold: bool = False) -> RunRow:
    """One run of a tenant.

    Args:
        hold: it is neither changed nor deleted before our commit.

    Raises:
        NotFoundError: the tenant has no such run; another's is not told from one that does not exist.
    """
    query = select(RunRow).where(RunRow.id == run_id, RunRow.tenant == tenant)
    return _found(session.scalar(query.with_for_update() if hold else query), run_id)


def _found(run: RunRow | None, run_id: str) -> RunRow:
    if run is None:
        raise NotFoundError(f"There is no run {run_id}. GET /v1/runs lists those there are.")
    return run


def in_flight(session: Session, *, tenant: str) -> int:
    """How many runs of a tenant are queued or running.

    Until the commit, no other transaction that asks gets an answer for this tenant: who counts may add.
    """
    lifecycle.lock_key(session, f"runs in flight of {tenant}")
    active = [RunStatus.QUEUED, RunStatus.RUNNING]
    return session.scalar(select(func.count()).where(RunRow.tenant == tenant, RunRow.status.in_(active))) or 0


_THESE = select(RunRow).where(RunRow.id.in_(bindparam("run_ids", expanding=True)))


def these(session: Session, run_ids: Sequence[str]) -> list[RunRow]:
    """Those of these runs that are there."""
    return list(session.scalars(_THESE, {"run_ids": run_ids}))


def page(session: Session, *, tenant: str, before: str | None, limit: int) -> list[RunRow]:
    """Up to `limit` runs of a tenant, newest first (ids rise with time), older than the run `before`."""
    query = select(RunRow).where(RunRow.tenant == tenant).order_by(RunRow.id.desc()).limit(limit)
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


NOTHING: Mapping[str, Stored] = MappingProxyType({})


def retry(session: Session, run_id: str, *, missing: Mapping[str, Stored] = NOTHING) -> tuple[RunRow, list[WakeUp]]:
    """Start a run again that has failed, was cancelled, or lost what it had made; finished stages are kept.

    Args:
        missing: artifacts of this run whose files are gone, by key: they are made anew.

    Raises:
        ConflictError: the run goes on, or has succeeded and nothing of it is missing.
    """
    run = lifecycle.lock(session, run_id)
    if not RunStatus(run.status).terminal:
        raise ConflictError(f"The run is {run.status}; a run can be retried when it has ended.")
    lifecycle.lock_artifacts(session, to_delete=True)
    lifecycle.forget_lost(session, missing)
    made = lifecycle.made_stages(session, run)
    if run.status == RunStatus.SUCCEEDED and len(made) == len(lifecycle.plan_of(run).stages):
        raise ConflictError("The run has succeeded and nothing of it is missing; there is nothing to retry.")
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
    """Where everything is that a run has made or counts on, by key: artifacts, parts, states."""
    states = {row.state_key for row in lifecycle.stages_of(session, run_id).values() if row.state_key}
    plan = lifecycle.plan_of(get(session, run_id))
    return {**stored_for(session, plan), **recorded(session, sorted(states))}


def stored_for(session: Session, plan: Plan) -> Mapping[str, Stored]:
    """Where that is which a plan would make and is recorded already, by key: artifacts and parts."""
    return recorded(session, plan.keys)


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deleted run leaves to be deleted from the store."""

    keys: list[str]
    locations: list[str]


def remove(session: Session, run_id: str) -> Removed:
    """Delete a run that has ended.

    Returns:
        Keys of all that it made, and locations of what no other run shares, to be deleted from the store after the
        commit.

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
    held = artifact_references.referenced_by_others(session, run_id, made)
    orphans = {key for key, served in made.items() if served not in shared and key not in held}
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
    """What is known of a checkpoint once it is embedded."""

    index: int
    facts: dict[str, float]


def frames(session: Session, run: RunRow) -> list[FrameArtifact]:
    """The checkpoints embedded so far, in order, with the facts of each."""
    query = (
        select(StageRow.id, ArtifactRow.facts)
        .join(ArtifactRow, ArtifactRow.key == StageRow.key)
        .where(StageRow.run_id == run.id, StageRow.name == "embed", StageRow.status == StageStatus.SUCCEEDED)
        .order_by(StageRow.position)
    )
    found = session.execute(query)
    return [FrameArtifact(int(stage_id.split("/")[1]), facts) for stage_id, facts in found if SKIPPED not in facts]


def is_comparison(run: RunRow) -> bool:
    """Whether a run only draws what others have made."""
    return bool(run.spec["compared"])


def artifact(session: Session, run: RunRow, stage_id: str) -> ArtifactRow | None:
    """The artifact of a finished stage, None while it is not there."""
    query = (
        select(ArtifactRow)
        .join(StageRow, StageRow.key == ArtifactRow.key)
        .where(StageRow.run_id == run.id, StageRow.id == stage_id, StageRow.status == StageStatus.SUCCEEDED)
    )
    return session.scalars(query).one_or_none()


def artifacts(session: Session, keys: Iterable[str]) -> dict[str, ArtifactRow]:
    """Those of these artifacts that are published, by key."""
    found: dict[str, ArtifactRow] = {}
    for batch in batches(keys):
        query = select(ArtifactRow).where(ArtifactRow.key.in_(batch))
        found |= {row.key: row for row in session.scalars(query)}
    return found


def unrecorded(session: Session, locations: Iterable[str]) -> list[str]:
    """Those of these locations that no artifact is at."""
    wanted, there = list(locations), set[str]()
    for batch in batches(wanted):
        there.update(session.scalars(select(ArtifactRow.location).where(ArtifactRow.location.in_(batch))))
    return [location for location in wanted if location not in there]


def can_rerender(session: Session, plan: Plan) -> bool:
    """Whether all that a new drawing needs of trainings is stored, as this version stores it."""
    learned = {stage.key for stage in plan.stages if STAGES[stage.name].learns}
    learned |= {key for stage in plan.stages for shown in stage.shows for key in shown.keys}
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


# Statements that are asked all the time are built once: building one takes longer than SQLite takes to run it.
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
    """The stages of each run, counted by name and status."""
    groups: dict[str, list[StageGroup]] = {run_id: [] for run_id in run_ids}
    for run_id, name, queue, status, *sums in session.execute(_GROUPS, {"run_ids": list(groups)}):
        groups[run_id].append(StageGroup(name, queue, StageStatus(status), *sums))
    return groups


def captured_steps(session: Session, run_ids: Iterable[str]) -> dict[str, list[int]]:
    """The steps of each run's checkpoints, without reading the rest of its plan."""
    found = session.execute(_STEPS, {"run_ids": list(run_ids)})
    return {run_id: steps for run_id, steps in found}  # noqa: C416 - rows are no pairs to mypy


def skipped_frames(session: Session, run_ids: Iterable[str]) -> dict[str, int]:
    """How many frames of each run its training has ended before; runs with all of theirs are left out."""
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
    return {run_id: count for run_id, count in session.execute(query)}  # noqa: C416 - rows are no pairs to mypy


def seconds_per_frame(session: Session) -> dict[str, float]:
    """How long the stages after training last took, divided by the frames of their run.

    Read from the newest runs that succeeded and were drawn; a stage that was not run in any of them, or only reused, is
    left out.
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
    pace: dict[str, float] = {}
    for run_id, name, seconds, _total in rows:
        if seconds is not None and run_id in drawn:
            pace[name] = seconds / drawn[run_id]  # the newest run comes last
    return pace


def missing(run_id: str, what: str) -> NotFoundError:
    """The error for a thing that a run has not."""
    return NotFoundError(f"Run {run_id} has no {what}.")
