"""Rows of published artifacts: which are recorded, record one, delete some.

An artifact is published when its row is committed. Functions that delete rows return the stored locations, and the
caller deletes these from the store after the commit.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, delete, select, text
from sqlalchemy.orm import Session

from core.domain.plan import Plan
from core.domain.run import TaskStatus
from core.store.database.batches import batches
from core.store.database.tables import ArtifactRow, TaskRow
from core.store.objects.stored import Stored

ARTIFACTS_LOCK = 0x454D4241


_STORED = select(ArtifactRow.key).where(ArtifactRow.key.in_(bindparam("keys", expanding=True)))
_RECORDED = select(ArtifactRow.key, ArtifactRow.location, ArtifactRow.files).where(
    ArtifactRow.key.in_(bindparam("keys", expanding=True))
)


def lock_artifacts(session: Session, *, to_delete: bool = False) -> None:
    """Lock all artifacts until the commit. SQLite needs no lock because it has one writer at a time.

    Args:
        session: transaction of the caller.
        to_delete: True takes the exclusive lock, so that no other transaction references artifacts. False takes the
            shared lock, so that no other transaction deletes artifacts.
    """
    if session.get_bind().dialect.name == "postgresql":
        lock_kind = "pg_advisory_xact_lock" if to_delete else "pg_advisory_xact_lock_shared"
        session.execute(text(f"SELECT {lock_kind}({ARTIFACTS_LOCK})"))


def lock_key(session: Session, key: str) -> None:
    """Lock a key, such as an artifact key, until the commit. SQLite needs no lock: it has one writer at a time."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def stored_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Return the subset of these keys whose artifacts are published."""
    stored: set[str] = set()
    for batch in batches(keys):
        stored.update(session.scalars(_STORED, {"keys": batch}))
    return stored


def recorded(session: Session, keys: Iterable[str]) -> Mapping[str, Stored]:
    """Return the published artifacts of these keys, by key."""
    found: dict[str, Stored] = {}
    for batch in batches(keys):
        for key, location, files in session.execute(_RECORDED, {"keys": batch}):
            found[key] = Stored(location, files)
    return found


def forget_artifacts(session: Session, keys: Iterable[str]) -> list[str]:
    """Delete the rows of these artifacts. The caller has called `lock_artifacts` with `to_delete`.

    Returns:
        Locations to delete from the store after the commit.
    """
    locations: list[str] = []
    for batch in batches(keys):
        gone = delete(ArtifactRow).where(ArtifactRow.key.in_(batch))
        locations += session.scalars(gone.returning(ArtifactRow.location))
    return locations


def forget_lost(session: Session, lost: Mapping[str, Stored]) -> None:
    """Delete the rows of artifacts whose files are missing.

    The row of an artifact that has been made again at another location stays.

    Args:
        session: transaction of the caller.
        lost: artifacts whose files are missing, by key.
    """
    if lost:
        lock_artifacts(session, to_delete=True)
    for key, stored in lost.items():
        gone = delete(ArtifactRow).where(ArtifactRow.key == key, ArtifactRow.location == stored.location)
        session.execute(gone)


def forget_state(session: Session, task: TaskRow) -> list[str]:
    """Delete the row of the state that the task would resume from; returns locations like `forget_artifacts`."""
    if task.state_key is None:
        return []
    locations = forget_artifacts(session, [task.state_key])
    task.state_key = task.state_step = None
    return locations


def shared_keys(session: Session, run_id: str, keys: Iterable[str]) -> set[str]:
    """Return the subset of these keys that a task of another run has too."""
    shared: set[str] = set()
    for batch in batches(sorted(set(keys))):
        others = select(TaskRow.key).where(TaskRow.key.in_(batch), TaskRow.run_id != run_id)
        shared.update(session.scalars(others))
    return shared


def forget_consumed(session: Session, plan: Plan, row: TaskRow) -> list[str]:
    """Delete the rows of artifacts that only this task needed: its resumable state and its embedded checkpoint.

    Returns:
        Locations to delete from the store after the commit.
    """
    keys = plan.released_to(row.id)
    session.flush()
    awaited = select(TaskRow.id).where(TaskRow.key == row.key, TaskRow.status != TaskStatus.SUCCEEDED)
    if keys and session.scalars(awaited).first() is not None:
        keys = ()
    if not keys and row.state_key is None:
        return []
    lock_artifacts(session, to_delete=True)
    return [*forget_artifacts(session, keys), *forget_state(session, row)]
