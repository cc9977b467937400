"""Artifacts of runs, for readers: frames, the artifact of a task, and locations that no row names."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.plan import SKIPPED
from core.domain.run import TaskStatus
from core.store.database.batches import batches
from core.store.database.tables import ArtifactRow, RunRow, TaskRow


@dataclass(frozen=True, slots=True)
class FrameArtifact:
    """An embedded checkpoint: its index in the film, and its facts."""

    index: int
    facts: dict[str, float]


def frames(session: Session, run: RunRow) -> list[FrameArtifact]:
    """Return the embedded checkpoints of a run, in order."""
    query = (
        select(TaskRow.id, ArtifactRow.facts)
        .join(ArtifactRow, ArtifactRow.key == TaskRow.key)
        .where(TaskRow.run_id == run.id, TaskRow.name == "embed", TaskRow.status == TaskStatus.SUCCEEDED)
        .order_by(TaskRow.position)
    )
    found = session.execute(query)
    return [FrameArtifact(int(task_id.split("/")[1]), facts) for task_id, facts in found if SKIPPED not in facts]


def artifact(session: Session, run: RunRow, task_id: str) -> ArtifactRow | None:
    """Return the artifact of a succeeded task; None if the task has not succeeded."""
    query = (
        select(ArtifactRow)
        .join(TaskRow, TaskRow.key == ArtifactRow.key)
        .where(TaskRow.run_id == run.id, TaskRow.id == task_id, TaskRow.status == TaskStatus.SUCCEEDED)
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
