"""Stages as a worker sees them: claim, lease, publish, and the sweep of lost work.

Every write of a claim is fenced: it happens only while the stage still runs under the claim's token. A worker that
was frozen, and whose stage somebody else has taken since, changes nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.domain.plan import Part, Plan, PlannedStage, StageName
from core.domain.run import RunStatus, StageStatus
from core.domain.spec import RunSpec
from core.errors import EmbedreelError, StageLostError
from core.store import lifecycle
from core.store.artifacts import Stored
from core.store.lifecycle import RING_AGAIN_SECONDS, Bell
from core.store.session import now
from core.store.tables import ArtifactRow, RunRow, StageRow

LONGEST_RING_SECONDS = 600.0
MOST_DOUBLINGS = 10
BELLS_OF_THE_IDLE = 100


Place = Callable[[], None]


class StageId(NamedTuple):
    """A stage of a run."""

    run_id: str
    stage_id: str


class Standing(Enum):
    """How a claim stands: go on, stop because the run is to stop, or stop because it is somebody else's."""

    HELD = "held"
    CANCEL = "cancel"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one stage, for as long as its lease is renewed."""

    run_id: str
    stage: PlannedStage
    token: int
    attempt: int
    spec: RunSpec
    plan: Plan


def claim(session: Session, run_id: str, stage_id: str, *, worker_id: str, lease_seconds: float) -> Claim | None:
    """Take a queued stage, or None: somebody has it, or it is not to be run any more."""
    awaiting = select(StageRow.id).where(
        StageRow.run_id == run_id, StageRow.id == stage_id, StageRow.status == StageStatus.QUEUED
    )
    if session.scalars(awaiting).first() is None:
        return None
    run = lifecycle.lock(session, run_id)
    taken = (
        update(StageRow)
        .where(StageRow.run_id == run_id, StageRow.id == stage_id, StageRow.status == StageStatus.QUEUED)
        .values(
            status=StageStatus.RUNNING,
            token=StageRow.token + 1,
            attempt=StageRow.attempt + 1,
            lease_until=now() + lease_seconds,
            worker_id=worker_id,
            started_at=now(),
            ring_at=None,
            done=0,
        )
        .returning(StageRow.token, StageRow.attempt)
    )
    row = session.execute(taken).first()
    if row is None:
        return None
    if run.status == RunStatus.QUEUED:
        run.started_at = lifecycle.clock(session)
        lifecycle.move(session, run, RunStatus.RUNNING)
    plan = lifecycle.plan_of(run)
    stage = plan.stage(stage_id)
    if row.token > 1:  # it was started before: lost, given back, or retried by the user
        _forget_parts(session, run, stage)
    lifecycle.emit(session, run, "stage.started", stage=stage_id, attempt=row.attempt, worker=worker_id)
    return Claim(run_id, stage, row.token, row.attempt, RunSpec.model_validate(run.spec), plan)


def _forget_parts(session: Session, run: RunRow, stage: PlannedStage) -> None:
    """Begin a repeated stage from nothing, so that no film mixes the frames of two trainings."""
    if not stage.parts:
        return
    lifecycle.hold_artifacts(session, to_delete=True)
    supplied = [part.stage for part in stage.parts]
    shared = select(StageRow.key).where(StageRow.run_id != run.id)
    keys = {part.key for part in stage.parts} | {
        row.key for row in lifecycle.stages_of(session, run.id).values() if row.id in supplied
    }
    for chunk in _chunks(sorted(keys)):
        session.execute(delete(ArtifactRow).where(ArtifactRow.key.in_(chunk), ArtifactRow.key.not_in(shared)))
    kept = lifecycle.stored_keys(session, keys)
    for row in lifecycle.stages_of(session, run.id).values():
        if row.id in supplied and row.key not in kept and row.status != StageStatus.WAITING:
            row.status = StageStatus.WAITING
            row.token += 1
            row.lease_until = row.ring_at = row.started_at = row.finished_at = None


def _chunks(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + 500] for start in range(0, len(keys), 500))


def next_queued(session: Session, run_id: str, *, queues: Iterable[str]) -> str | None:
    """Id of the run's first queued stage on these queues: it can be claimed without a bell."""
    query = select(StageRow.id).where(
        StageRow.run_id == run_id, StageRow.status == StageStatus.QUEUED, StageRow.queue.in_(list(queues))
    )
    return session.scalars(query.order_by(StageRow.position).limit(1)).first()


def renew(session: Session, held: Claim, *, lease_seconds: float) -> Standing:
    """Hold the stage for another lease, and learn whether to go on."""
    extended = update(StageRow).where(*_mine(held)).values(lease_until=now() + lease_seconds).returning(StageRow.id)
    if session.execute(extended).first() is None:
        return Standing.LOST
    return standing(session, held)


def standing(session: Session, held: Claim) -> Standing:
    """Whether to go on, without touching the lease."""
    if not publishable(session, held):
        return Standing.LOST
    status = session.scalars(select(RunRow.status).where(RunRow.id == held.run_id)).one()
    return Standing.HELD if status == RunStatus.RUNNING else Standing.CANCEL


def progress(session: Session, held: Claim, *, done: int, total: int) -> None:
    """Show how far the stage is."""
    lifecycle.lock(session, held.run_id)
    session.execute(update(StageRow).where(*_mine(held)).values(done=done, total=total))


def publishable(session: Session, held: Claim) -> bool:
    """Whether the claim still holds: asked before files are renamed into place."""
    return session.scalars(select(StageRow.id).where(*_mine(held))).first() is not None


def recorded(session: Session, key: str) -> Stored | None:
    """The artifact of this key, if another attempt or run has published it already."""
    row = session.get(ArtifactRow, key)
    return Stored(row.key, row.files) if row else None


def publish_part(
    session: Session, held: Claim, part: Part, stored: Stored, facts: dict[str, Any], *, place: Place
) -> list[Bell]:
    """An artifact that a running stage made for another: that one is done with it, or can start.

    Args:
        place: puts the files where `stored` says; called under the fence, unless somebody has published them already.
    """
    run = lifecycle.lock(session, held.run_id)
    if not publishable(session, held):
        return []
    row = lifecycle.stages_of(session, held.run_id)[part.stage]
    if row.status == StageStatus.SUCCEEDED:  # another run has made what the part is for
        return []
    _publish(session, stored, stage=part.id.split("/")[0], facts=facts, place=place)
    if part.effect == "completes" and row.status == StageStatus.WAITING:
        lifecycle.succeed(session, run, row)
        lifecycle.emit(session, run, "checkpoint", **facts)
    elif part.effect == "releases" and row.status == StageStatus.WAITING and run.status == RunStatus.RUNNING:
        return [lifecycle.queue(session, run, row)]
    return []


def finish(
    session: Session, held: Claim, stored: Stored, facts: dict[str, Any], *, place: Place
) -> tuple[list[Bell], list[str]]:
    """The stage is done: publish its artifact and queue what waited for it.

    Args:
        place: as for `publish_part`.

    Returns:
        Bells, and keys of artifacts that have served their purpose, to be deleted from the store after the commit.
    """
    run = lifecycle.lock(session, held.run_id)
    if not publishable(session, held):
        return [], []
    _publish(session, stored, stage=held.stage.name, facts=facts, place=place)
    lifecycle.succeed(session, run, lifecycle.stages_of(session, held.run_id)[held.stage.id])
    if held.stage.name is StageName.EMBED:
        lifecycle.emit(session, run, "checkpoint", **facts)
    spent = _spent_checkpoints(session, held)
    session.flush()
    if run.status == RunStatus.RUNNING:
        return lifecycle.advance(session, run), spent
    lifecycle.settle_cancel(session, run)
    return [], spent


def _spent_checkpoints(session: Session, held: Claim) -> list[str]:
    """Checkpoints that were stored only to be embedded, and now are."""
    parts = (part for stage in held.plan.stages for part in stage.parts)
    keys = [part.key for part in parts if part.stage == held.stage.id and part.effect == "releases"]
    awaited = select(StageRow.id).where(StageRow.key == held.stage.key, StageRow.status != StageStatus.SUCCEEDED)
    if not keys or session.scalars(awaited).first() is not None:
        return []
    lifecycle.hold_artifacts(session, to_delete=True)
    session.execute(delete(ArtifactRow).where(ArtifactRow.key.in_(keys)))
    return keys


def fail(session: Session, held: Claim, error: EmbedreelError) -> None:
    """The stage cannot be done: the run has failed, and says why."""
    run = lifecycle.lock(session, held.run_id)
    if publishable(session, held):
        _fail(session, run, lifecycle.stages_of(session, held.run_id)[held.stage.id], error)


def _fail(session: Session, run: RunRow, row: StageRow, error: EmbedreelError) -> None:
    _end(session, row, StageStatus.FAILED)
    lifecycle.emit(session, run, "stage.failed", stage=row.id, error=error.describe())
    if run.status == RunStatus.CANCELLING:
        lifecycle.settle_cancel(session, run)
    elif not RunStatus(run.status).terminal:
        lifecycle.drop_unfinished(lifecycle.stages_of(session, run.id).values(), but=row)
        lifecycle.move(session, run, RunStatus.FAILED, error=error)


def give_up(session: Session, held: Claim) -> None:
    """The child was stopped because the run is to stop."""
    run = lifecycle.lock(session, held.run_id)
    if publishable(session, held):
        _end(session, lifecycle.stages_of(session, held.run_id)[held.stage.id], StageStatus.CANCELLED)
        lifecycle.settle_cancel(session, run)


def give_back(session: Session, held: Claim, *, reason: str, blame: bool, max_attempts: int) -> list[Bell]:
    """The stage was not finished through no fault of the run: another worker may take it.

    Args:
        reason: what happened, for the event and, in the end, for the run's error.
        blame: False does not count as an attempt (the worker was asked to stop).
    """
    run = lifecycle.lock(session, held.run_id)
    if not publishable(session, held):
        return []
    row = lifecycle.stages_of(session, held.run_id)[held.stage.id]
    return _requeue(session, run, row, reason=reason, blame=blame, max_attempts=max_attempts)


def _requeue(
    session: Session, run: RunRow, row: StageRow, *, reason: str, blame: bool, max_attempts: int
) -> list[Bell]:
    if run.status != RunStatus.RUNNING:
        _end(session, row, StageStatus.CANCELLED)
        lifecycle.settle_cancel(session, run)
        return []
    if blame and row.attempt >= max_attempts:
        detail = (
            f"Stage {row.id} was lost {row.attempt} times; the last time: {reason}. Retry the run, or make it smaller."
        )
        _fail(session, run, row, StageLostError(detail))
        return []
    row.attempt -= 0 if blame else 1
    row.token += 1  # whoever still runs it is fenced out from here on
    lifecycle.emit(session, run, "stage.requeued", stage=row.id, reason=reason)
    return [lifecycle.queue(session, run, row)]


def expired(session: Session) -> list[StageId]:
    """Running stages whose lease has run out."""
    query = select(StageRow.run_id, StageRow.id).where(
        StageRow.status == StageStatus.RUNNING, StageRow.lease_until < now()
    )
    return [StageId(*row) for row in session.execute(query.order_by(StageRow.run_id))]


def take_back(session: Session, lost: StageId, *, max_attempts: int) -> list[Bell]:
    """Queue a stage again whose lease has run out, unless it has been settled meanwhile."""
    run = lifecycle.lock(session, lost.run_id)
    row = lifecycle.stages_of(session, lost.run_id)[lost.stage_id]
    if row.status != StageStatus.RUNNING or (row.lease_until or 0) >= lifecycle.clock(session):
        return []
    reason = f"worker {row.worker_id} was not heard of any more"
    return _requeue(session, run, row, reason=reason, blame=True, max_attempts=max_attempts)


def silent(session: Session, *, idle_queues: Iterable[str] = ()) -> list[StageId]:
    """Queued stages that somebody should ring for.

    Args:
        idle_queues: queues of a worker that has nothing to do: what is queued there lost its bell, however often others
            have rung in vain; the oldest are named.
    """
    query = select(StageRow.run_id, StageRow.id).where(StageRow.status == StageStatus.QUEUED)
    due = query.where(StageRow.ring_at < now())
    waiting = query.where(StageRow.queue.in_(list(idle_queues))).order_by(StageRow.run_id).limit(BELLS_OF_THE_IDLE)
    found = [*session.execute(due), *session.execute(waiting)]
    return [StageId(*row) for row in dict.fromkeys(map(tuple, found))]


def ring_again(session: Session, unheard: StageId) -> list[Bell]:
    """A bell for a queued stage; the next one comes after twice the pause."""
    row = session.get(StageRow, (unheard.run_id, unheard.stage_id), with_for_update=True, populate_existing=True)
    if row is None or row.status != StageStatus.QUEUED:
        return []
    row.rings = min(row.rings + 1, MOST_DOUBLINGS)
    pause = min(RING_AGAIN_SECONDS * 2**row.rings, LONGEST_RING_SECONDS)
    row.ring_at = lifecycle.clock(session) + pause
    return [Bell(unheard.run_id, unheard.stage_id, row.name, row.queue)]


def _mine(held: Claim) -> tuple[Any, ...]:
    return (
        StageRow.run_id == held.run_id,
        StageRow.id == held.stage.id,
        StageRow.token == held.token,
        StageRow.status == StageStatus.RUNNING,
    )


def _publish(session: Session, stored: Stored, *, stage: str, facts: dict[str, Any], place: Place) -> None:
    lifecycle.hold_key(session, stored.key)
    if recorded(session, stored.key) is not None:
        return
    place()
    session.add(
        ArtifactRow(
            key=stored.key,
            stage=stage,
            files=stored.files,
            facts=facts,
            size_bytes=stored.size_bytes,
            created_at=lifecycle.clock(session),
        )
    )
    session.flush()


def _end(session: Session, row: StageRow, status: StageStatus) -> None:
    row.status = status
    row.lease_until = row.ring_at = None
    row.finished_at = lifecycle.clock(session)
    session.flush()
