"""Stages as a worker sees them: claim, lease, publish.

Every write of a claim is fenced: it happens only while the stage still runs under the claim's token. A worker that
was frozen, and whose stage somebody else has taken since, changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from core.domain.plan import SKIPPED, Part, Plan, PlannedStage, state_key
from core.domain.run import RunStatus, StageStatus
from core.domain.spec import RunSpec
from core.domain.stages import EMBED
from core.errors import EmbedreelError
from core.store.database.batches import batches
from core.store.database.session import now
from core.store.database.tables import ArtifactRow, RunRow, StageRow
from core.store.engine import artifact_references, counts, lifecycle
from core.store.engine.lifecycle import QUEUED, StageId, WakeUp
from core.store.objects.stored import Stored


class LeaseState(Enum):
    """How a claim stands: go on, stop because the run is to stop, or stop because it is somebody else's."""

    HELD = "held"
    CANCEL = "cancel"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one stage, for as long as its lease is renewed.

    Attributes:
        state: what the stage continues from, None: it begins.
        unneeded: locations that a lost attempt has stored and nobody needs, to be deleted after the commit.
    """

    run_id: str
    stage: PlannedStage
    token: int
    attempt: int
    spec: RunSpec
    plan: Plan
    state: Stored | None
    unneeded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """What is to be done after the commit: bells to be rung, and locations to be deleted from the store."""

    wake_ups: tuple[WakeUp, ...] = ()
    unneeded: tuple[str, ...] = ()


def claim(
    session: Session, run_id: str, stage_id: str, *, worker_id: str, lease_seconds: float
) -> Claim | Published | None:
    """Take a queued stage.

    Returns:
        The claim; what follows where another run has made the same meanwhile, so that nothing is left to do; or None:
        somebody has it, or it is not to be run any more.
    """
    awaiting = select(StageRow.id).where(
        StageRow.run_id == run_id, StageRow.id == stage_id, StageRow.status == StageStatus.QUEUED
    )
    if session.scalars(awaiting).first() is None:
        return None
    run = lifecycle.lock(session, run_id)
    if (skipped := _skip(session, run, stage_id)) is not None:
        return skipped
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
            notify_at=None,
            done=0,
        )
        .returning(StageRow)
    )
    row = session.scalars(taken, execution_options={"populate_existing": True}).first()
    if row is None:
        return None
    queued_at, started_at = cast("float", row.queued_at), cast("float", row.started_at)  # a queued stage has the first
    counts.started(session, queue=row.queue, queued_at=queued_at, at=started_at)
    if run.status == RunStatus.QUEUED:
        run.started_at = lifecycle.clock(session)
        lifecycle.move(session, run, RunStatus.RUNNING)
    plan = lifecycle.plan_of(run)
    stage = plan.stage(stage_id)
    state = recorded(session, [row.state_key]).get(row.state_key) if row.state_key else None
    step = row.state_step if state else None
    # A token above 1: it was started before, and lost, given back, or retried by the user.
    unneeded = _forget_parts(session, run, stage, after=step) if row.token > 1 else []
    begun = {"attempt": row.attempt, "worker": worker_id} | ({} if step is None else {"resumed_step": step})
    lifecycle.emit(session, run, "stage.started", stage=stage_id, **begun)
    spec = RunSpec.model_validate(run.spec)
    return Claim(run_id, stage, row.token, row.attempt, spec, plan, state, tuple(unneeded))


def _skip(session: Session, run: RunRow, stage_id: str) -> Published | None:
    """Finish a queued stage whose artifact is there by now; None where it is not, or the stage is not queued."""
    row = session.get(StageRow, (run.id, stage_id), populate_existing=True)
    if row is None or row.status != StageStatus.QUEUED or not lifecycle.stored_keys(session, [row.key]):
        return None
    lifecycle.lock_artifacts(session, to_delete=True)
    if stage_id not in lifecycle.made_stages(session, run):
        return None
    lifecycle.succeed(session, run, row, reused=True)
    spent = _forget_spent(session, lifecycle.plan_of(run), row)
    session.flush()
    return Published(tuple(lifecycle.advance(session, run)), tuple(spent))


def _forget_parts(session: Session, run: RunRow, stage: PlannedStage, *, after: int | None) -> list[str]:
    """Take back what a lost attempt published beyond the state that is continued from: no film mixes two trainings.

    Args:
        after: that state's step; None takes all back.

    Returns:
        Locations to be deleted from the store after the commit.
    """
    rows = lifecycle.stages_of(session, run.id)
    parts = list(stage.parts) if after is None else _beyond(session, rows, stage, after)
    if not parts:
        return []
    lifecycle.lock_artifacts(session, to_delete=True)
    served = {part.key: rows[part.stage].key for part in parts}  # a part is shared with whoever has what it is for
    supplied = {part.stage for part in parts if part.effect != "keeps"}
    shared = lifecycle.shared_keys(session, run.id, served.values())
    keys = set(served) | {rows[stage_id].key for stage_id in supplied}
    deleted = keys - artifact_references.referenced_by_others(session, run.id, keys)
    spent = sorted(key for key in deleted if served.get(key, key) not in shared)
    locations = lifecycle.forget_artifacts(session, spent)
    kept = lifecycle.stored_keys(session, keys)
    for stage_id in supplied:
        row = rows[stage_id]
        if row.key not in kept and row.status != StageStatus.WAITING:
            row.status = StageStatus.WAITING
            row.token += 1
            row.lease_until = row.notify_at = row.started_at = row.finished_at = None
    return locations


def _beyond(session: Session, rows: Mapping[str, StageRow], stage: PlannedStage, after: int) -> list[Part]:
    """The parts of later steps; where only the training knew the step, what it published says so."""
    unknown = {key for part in stage.parts if part.step is None for key in (part.key, rows[part.stage].key)}
    captured: dict[str, int] = {}
    for batch in batches(unknown):
        query = select(ArtifactRow.key, ArtifactRow.facts).where(ArtifactRow.key.in_(batch))
        captured |= {key: facts["step"] for key, facts in session.execute(query)}

    def step(part: Part) -> int:
        if part.step is not None:
            return part.step
        return max(captured.get(key, 0) for key in (part.key, rows[part.stage].key))  # nothing published: nothing to do

    return [part for part in stage.parts if step(part) > after]


def next_queued(session: Session, *, queues: Iterable[str]) -> StageId | None:
    """What a worker of these queues should do next, bell or none: the earliest run's first queued stage."""
    query = select(StageRow.run_id, StageRow.id).where(StageRow.status == QUEUED, StageRow.queue.in_(list(queues)))
    found = session.execute(query.order_by(StageRow.run_id, StageRow.position).limit(1)).first()
    return StageId(*found) if found else None


_RECORDED = select(ArtifactRow.key, ArtifactRow.location, ArtifactRow.files).where(
    ArtifactRow.key.in_(bindparam("keys", expanding=True))
)


def recorded(session: Session, keys: Iterable[str]) -> Mapping[str, Stored]:
    """The artifacts of these keys that are published."""
    found: dict[str, Stored] = {}
    for batch in batches(keys):
        for key, location, files in session.execute(_RECORDED, {"keys": batch}):
            found[key] = Stored(location, files)
    return found


def renew(session: Session, held: Claim, *, lease_seconds: float) -> LeaseState:
    """Hold the stage for another lease, and learn whether to go on."""
    extended = update(StageRow).where(*_mine(held)).values(lease_until=now() + lease_seconds).returning(StageRow.id)
    if session.execute(extended).first() is None:
        counts.FENCED_WRITES.add(session, write="renew")
        return LeaseState.LOST
    return lease_state(session, held)


def lease_state(session: Session, held: Claim) -> LeaseState:
    """Whether to go on, without touching the lease."""
    if not in_force(session, held):
        return LeaseState.LOST
    status = session.scalars(select(RunRow.status).where(RunRow.id == held.run_id)).one()
    return LeaseState.HELD if status == RunStatus.RUNNING else LeaseState.CANCEL


def in_force(session: Session, held: Claim) -> bool:
    """Whether the claim still holds."""
    return session.scalars(select(StageRow.id).where(*_mine(held))).first() is not None


def _fenced(session: Session, held: Claim, write: str) -> bool:
    """Whether this write is that of a claim that holds no more: it changes nothing, and is counted."""
    if in_force(session, held):
        return False
    counts.FENCED_WRITES.add(session, write=write)
    return True


def progress(session: Session, held: Claim, *, done: int, total: int) -> None:
    """Show how far the stage is."""
    lifecycle.lock(session, held.run_id)
    session.execute(update(StageRow).where(*_mine(held)).values(done=done, total=total))


def tell(session: Session, held: Claim, event: str, data: Mapping[str, Any]) -> None:
    """Add an event of the running stage to the run's."""
    run = lifecycle.lock(session, held.run_id)
    if not _fenced(session, held, "tell"):
        lifecycle.emit(session, run, event, stage=held.stage.id, **data)


def publish_part(session: Session, held: Claim, part: Part, stored: Stored, facts: dict[str, Any]) -> Published:
    """An artifact that a running stage made for another: that one is done with it, or can start."""
    run = lifecycle.lock(session, held.run_id)
    if _fenced(session, held, "publish_part"):
        return _refused(session, part.key, stored)
    row = lifecycle.stages_of(session, held.run_id)[part.stage]
    if row.status == StageStatus.SUCCEEDED:  # another run has made what the part is for
        return _refused(session, part.key, stored)
    unneeded = _record(session, part.key, stored, stage=part.id.split("/")[0], facts=facts)
    wake_ups = []
    if part.effect == "completes" and row.status == StageStatus.WAITING:
        lifecycle.succeed(session, run, row)
        if SKIPPED not in facts:
            lifecycle.emit(session, run, "checkpoint", **facts)
    elif part.effect == "releases" and row.status == StageStatus.WAITING and run.status == RunStatus.RUNNING:
        wake_ups.append(lifecycle.queue(session, run, row))
    return Published(tuple(wake_ups), unneeded)


def publish_state(session: Session, held: Claim, stored: Stored, *, step: int) -> Published:
    """Remember what the stage continues from should its worker be lost, in place of an earlier state."""
    lifecycle.lock(session, held.run_id)
    key = state_key(held.run_id, held.stage.id, token=held.token, step=step)
    if _fenced(session, held, "publish_state"):
        return _refused(session, key, stored)
    row = lifecycle.stages_of(session, held.run_id)[held.stage.id]
    if row.state_key == key:  # an answer that was lost: it is recorded already
        return Published()
    lifecycle.lock_artifacts(session, to_delete=True)
    older = lifecycle.forget_state(session, row)
    unneeded = _record(session, key, stored, stage="state", facts={"step": step})
    row.state_key, row.state_step = key, step
    row.attempt = 1  # it got further: only losses in a row, without progress, end a run
    return Published(unneeded=(*older, *unneeded))


def finish(session: Session, held: Claim, stored: Stored, facts: dict[str, Any]) -> Published:
    """The stage is done: publish its artifact and queue what waited for it."""
    run = lifecycle.lock(session, held.run_id)
    if _fenced(session, held, "finish"):
        return _refused(session, held.stage.key, stored)
    unneeded = _record(session, held.stage.key, stored, stage=held.stage.name, facts=facts)
    row = lifecycle.stages_of(session, held.run_id)[held.stage.id]
    lifecycle.succeed(session, run, row)
    if held.stage.name == EMBED.name:
        lifecycle.emit(session, run, "checkpoint", **facts)
    spent = _forget_spent(session, held.plan, row)
    session.flush()
    if run.status == RunStatus.RUNNING:
        return Published(tuple(lifecycle.advance(session, run)), (*unneeded, *spent))
    lifecycle.settle_cancel(session, run)
    return Published(unneeded=(*unneeded, *spent))


def _forget_spent(session: Session, plan: Plan, row: StageRow) -> list[str]:
    """What was stored only for this stage: the state it would have continued from, the checkpoint it has embedded."""
    keys = plan.released_to(row.id)
    session.flush()
    awaited = select(StageRow.id).where(StageRow.key == row.key, StageRow.status != StageStatus.SUCCEEDED)
    if keys and session.scalars(awaited).first() is not None:
        keys = ()
    if not keys and row.state_key is None:
        return []
    lifecycle.lock_artifacts(session, to_delete=True)
    return [*lifecycle.forget_artifacts(session, keys), *lifecycle.forget_state(session, row)]


def fail(session: Session, held: Claim, error: EmbedreelError) -> None:
    """The stage cannot be done: the run has failed, and says why."""
    run = lifecycle.lock(session, held.run_id)
    if not _fenced(session, held, "fail"):
        lifecycle.fail(session, run, lifecycle.stages_of(session, held.run_id)[held.stage.id], error)


def fail_for_lost(session: Session, held: Claim, error: EmbedreelError, *, missing: Mapping[str, Stored]) -> None:
    """The same for files that are gone: whoever needs them next, a retry or another run, makes them anew."""
    lifecycle.lock(session, held.run_id)
    lifecycle.forget_lost(session, missing)
    fail(session, held, error)


def give_up(session: Session, held: Claim) -> None:
    """The child was stopped because the run is to stop."""
    run = lifecycle.lock(session, held.run_id)
    if not _fenced(session, held, "give_up"):
        row = lifecycle.stages_of(session, held.run_id)[held.stage.id]
        lifecycle.end_stage(session, row, StageStatus.CANCELLED)
        lifecycle.settle_cancel(session, run)


def give_back(session: Session, held: Claim, *, reason: str, blame: bool, max_attempts: int) -> Published:
    """The stage was not finished through no fault of the run: another worker may take it. See `lifecycle.requeue`."""
    run = lifecycle.lock(session, held.run_id)
    if _fenced(session, held, "give_back"):
        return Published()
    row = lifecycle.stages_of(session, held.run_id)[held.stage.id]
    wake_ups = lifecycle.requeue(session, run, row, reason=reason, blame=blame, max_attempts=max_attempts)
    return Published(tuple(wake_ups))


def begin_anew(session: Session, held: Claim, *, reason: str, max_attempts: int) -> Published:
    """Give the stage back without the state that it could not continue from."""
    lifecycle.lock(session, held.run_id)
    if _fenced(session, held, "begin_anew"):
        return Published()
    lifecycle.lock_artifacts(session, to_delete=True)
    row = lifecycle.stages_of(session, held.run_id)[held.stage.id]
    unneeded = lifecycle.forget_state(session, row)
    session.flush()
    given = give_back(session, held, reason=reason, blame=True, max_attempts=max_attempts)
    return Published(given.wake_ups, tuple(unneeded))


def _mine(held: Claim) -> tuple[Any, ...]:
    return (
        StageRow.run_id == held.run_id,
        StageRow.id == held.stage.id,
        StageRow.token == held.token,
        StageRow.status == StageStatus.RUNNING,
    )


def _record(session: Session, key: str, stored: Stored, *, stage: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Publish what is stored, unless somebody has published this key already; returns what nobody needs then."""
    lifecycle.lock_key(session, key)
    if recorded(session, [key]):
        return _refused(session, key, stored).unneeded
    session.add(
        ArtifactRow(
            key=key,
            stage=stage,
            location=stored.location,
            files=stored.files,
            facts=facts,
            size_bytes=stored.size_bytes,
            created_at=lifecycle.clock(session),
        )
    )
    session.flush()
    return ()


def _refused(session: Session, key: str, stored: Stored) -> Published:
    """Nobody needs what is stored, unless this very location is recorded: an earlier commit whose answer was lost."""
    there = recorded(session, [key]).get(key)
    return Published() if there and there.location == stored.location else Published(unneeded=(stored.location,))
