"""Artifacts of runs, for readers: frames, the artifact of a stage, and locations that no row names."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.plan import SKIPPED
from core.domain.run import StageStatus
from core.store.database.batches import batches
from core.store.database.tables import ArtifactRow, RunRow, StageRow


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
