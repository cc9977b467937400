"""What a run counts on beyond the stages of its plan: weights that it keeps, and what others have made.

Those are weights that it begins with, and what a comparison shows. All of it outlives the run that made it for as long
as another counts on it.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.domain.plan import Plan
from core.domain.spec import RunSpec
from core.domain.trained import begins_with
from core.store.database.batches import batches
from core.store.database.tables import ArtifactReferenceRow, ArtifactRow


def add_references(session: Session, run_id: str, spec: RunSpec, plan: Plan) -> None:
    """Let a new run count on the weights that it will keep, on those that it begins with, and on what it shows."""
    parts = [part for stage in plan.stages for part in stage.parts if part.effect == "keeps"]
    session.add_all(ArtifactReferenceRow(run_id=run_id, key=part.key, step=part.step) for part in parts)
    of_others = {key for stage in plan.stages for shown in stage.shows for key in shown.keys}
    if key := begins_with(spec):
        of_others.add(key)
    session.add_all(ArtifactReferenceRow(run_id=run_id, key=key, step=None) for key in sorted(of_others))


def remove_references(session: Session, run_id: str) -> set[str]:
    """Let a run that is being deleted count on nothing any more; returns the keys that no other run counts on."""
    gone = delete(ArtifactReferenceRow).where(ArtifactReferenceRow.run_id == run_id)
    keys = set(session.scalars(gone.returning(ArtifactReferenceRow.key)))
    return keys - referenced_by_others(session, run_id, keys)


def referenced_by_others(session: Session, run_id: str, keys: Iterable[str]) -> set[str]:
    """Those of these keys that another run counts on."""
    held: set[str] = set()
    for batch in batches(keys):
        others = select(ArtifactReferenceRow.key).where(
            ArtifactReferenceRow.key.in_(batch), ArtifactReferenceRow.run_id != run_id
        )
        held.update(session.scalars(others))
    return held


def last_weights(session: Session, run_id: str) -> ArtifactRow | None:
    """The last weights that a run has kept; None where it keeps none, or they are not there."""
    step = select(func.max(ArtifactReferenceRow.step)).where(ArtifactReferenceRow.run_id == run_id).scalar_subquery()
    mine = (ArtifactReferenceRow.run_id == run_id, ArtifactReferenceRow.step == step)
    return session.scalar(
        select(ArtifactRow).join(ArtifactReferenceRow, ArtifactReferenceRow.key == ArtifactRow.key).where(*mine)
    )


def with_weights(session: Session, run_ids: Collection[str]) -> set[str]:
    """Those of these runs whose last weights are there."""
    if not run_ids:
        return set()
    last_step = (
        select(ArtifactReferenceRow.run_id, func.max(ArtifactReferenceRow.step).label("step"))
        .where(ArtifactReferenceRow.run_id.in_(run_ids))
        .group_by(ArtifactReferenceRow.run_id)
        .subquery()
    )
    query = (
        select(ArtifactReferenceRow.run_id)
        .join(
            last_step,
            (last_step.c.run_id == ArtifactReferenceRow.run_id) & (last_step.c.step == ArtifactReferenceRow.step),
        )
        .join(ArtifactRow, ArtifactRow.key == ArtifactReferenceRow.key)
    )
    return set(session.scalars(query))
