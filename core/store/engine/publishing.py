"""Publish what a claimed task makes: parts, resumable states, and the artifact of the finished task.

A stored folder that is not published is named in `Published.unneeded`: another attempt has published the same artifact,
or the claim is no longer valid.
"""

from typing import Any

from sqlalchemy.orm import Session

from core.domain.plan import SKIPPED, Part, state_key
from core.domain.run import RunStatus, TaskStatus
from core.domain.stages import EMBED
from core.store.database.session import clock
from core.store.database.tables import ArtifactRow
from core.store.engine import artifact_rows, lifecycle, scheduling
from core.store.engine.claim import Claim
from core.store.engine.claims import Published, write_refused
from core.store.objects.stored import Stored


def publish_part(session: Session, held: Claim, part: Part, stored: Stored, facts: dict[str, Any]) -> Published:
    """Publish an artifact that a running task made for another task.

    The other task then succeeds or is queued, as `part.effect` says.

    Args:
        session: transaction of the caller.
        held: the claim under which the task runs.
        part: the planned part.
        stored: stored folder of the artifact.
        facts: values that the API returns without reading the files.
    """
    run = lifecycle.lock(session, held.run_id)
    if write_refused(session, held, "publish_part"):
        return _refused(session, part.key, stored)
    row = lifecycle.tasks_of(session, held.run_id)[part.task]
    if row.status == TaskStatus.SUCCEEDED:  # another run has made the artifact of the task
        return _refused(session, part.key, stored)
    unneeded = _record(session, part.key, stored, kind=part.id.split("/")[0], facts=facts)
    wake_ups = []
    if part.effect == "completes" and row.status == TaskStatus.WAITING:
        lifecycle.succeed(session, run, row)
        if SKIPPED not in facts:
            lifecycle.emit(session, run, "checkpoint", **facts)
    elif part.effect == "releases" and row.status == TaskStatus.WAITING and run.status == RunStatus.RUNNING:
        wake_ups.append(lifecycle.queue(session, run, row))
    return Published(tuple(wake_ups), unneeded)


def publish_state(session: Session, held: Claim, stored: Stored, *, step: int) -> Published:
    """Record the state that the task resumes from if its worker is lost. The new state replaces an earlier one.

    Args:
        session: transaction of the caller.
        held: the claim under which the task runs.
        stored: stored folder of the state.
        step: optimizer step of the state.
    """
    lifecycle.lock(session, held.run_id)
    key = state_key(held.run_id, held.task.id, token=held.token, step=step)
    if write_refused(session, held, "publish_state"):
        return _refused(session, key, stored)
    row = lifecycle.tasks_of(session, held.run_id)[held.task.id]
    if row.state_key == key:  # an earlier commit recorded the state, and its confirmation was lost
        return Published()
    artifact_rows.lock_artifacts(session, to_delete=True)
    older = artifact_rows.forget_state(session, row)
    unneeded = _record(session, key, stored, kind="state", facts={"step": step})
    row.state_key, row.state_step = key, step
    row.attempt = 1  # the task made progress: only successive losses without progress end a run
    return Published(unneeded=(*older, *unneeded))


def finish(session: Session, held: Claim, stored: Stored, facts: dict[str, Any]) -> Published:
    """Publish the artifact of a finished task, and queue the tasks that waited for the artifact.

    Args:
        session: transaction of the caller.
        held: the claim under which the task runs.
        stored: stored folder of the artifact.
        facts: values that the API returns without reading the files.
    """
    run = lifecycle.lock(session, held.run_id)
    if write_refused(session, held, "finish"):
        return _refused(session, held.task.key, stored)
    unneeded = _record(session, held.task.key, stored, kind=held.task.name, facts=facts)
    row = lifecycle.tasks_of(session, held.run_id)[held.task.id]
    lifecycle.succeed(session, run, row)
    if held.task.name == EMBED.name:
        lifecycle.emit(session, run, "checkpoint", **facts)
    consumed = artifact_rows.forget_consumed(session, held.plan, row)
    session.flush()
    if run.status == RunStatus.RUNNING:
        return Published(tuple(scheduling.advance(session, run)), (*unneeded, *consumed))
    lifecycle.settle_cancel(session, run)
    return Published(unneeded=(*unneeded, *consumed))


def _record(session: Session, key: str, stored: Stored, *, kind: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Publish a stored folder, unless an artifact of this key is published already.

    Returns:
        Locations that no run needs; empty if the folder is published.
    """
    artifact_rows.lock_key(session, key)
    if artifact_rows.recorded(session, [key]):
        return _refused(session, key, stored).unneeded
    session.add(
        ArtifactRow(
            key=key,
            kind=kind,
            location=stored.location,
            files=stored.files,
            facts=facts,
            size_bytes=stored.size_bytes,
            created_at=clock(session),
        )
    )
    session.flush()
    return ()


def _refused(session: Session, key: str, stored: Stored) -> Published:
    """Return the stored location as unneeded, unless the artifact of this key is recorded at this location.

    The location is recorded if an earlier commit succeeded and its confirmation was lost.
    """
    there = artifact_rows.recorded(session, [key]).get(key)
    return Published() if there and there.location == stored.location else Published(unneeded=(stored.location,))
