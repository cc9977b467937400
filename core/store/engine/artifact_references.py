"""References from runs to artifacts that the tasks of their plans do not name.

A run references the weights that it keeps, the weights that it starts from, and the artifacts that a comparison shows.
An artifact is stored for as long as one run references it, even after the run that made the artifact is deleted.
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
    """Insert references from a new run to its kept weights, its initial weights and the artifacts that it shows."""
    parts = [part for task in plan.tasks for part in task.parts if part.effect == "keeps"]
    session.add_all(ArtifactReferenceRow(run_id=run_id, key=part.key, step=part.step) for part in parts)
    referenced = {key for task in plan.tasks for shown in task.shows for key in shown.keys}
    if key := begins_with(spec):
        referenced.add(key)
    session.add_all(ArtifactReferenceRow(run_id=run_id, key=key, step=None) for key in sorted(referenced))


def remove_references(session: Session, run_id: str) -> set[str]:
    """Delete all references of a run that is being deleted.

    Returns:
        Keys of the artifacts that the run referenced and no other run references.
    """
    deleted = delete(ArtifactReferenceRow).where(ArtifactReferenceRow.run_id == run_id)
    keys = set(session.scalars(deleted.returning(ArtifactReferenceRow.key)))
    return keys - referenced_by_others(session, run_id, keys)


def referenced_by_others(session: Session, run_id: str, keys: Iterable[str]) -> set[str]:
    """Return the subset of these keys that another run references."""
    referenced: set[str] = set()
    for batch in batches(keys):
        others = select(ArtifactReferenceRow.key).where(
            ArtifactReferenceRow.key.in_(batch), ArtifactReferenceRow.run_id != run_id
        )
        referenced.update(session.scalars(others))
    return referenced


def last_weights(session: Session, run_id: str) -> ArtifactRow | None:
    """Return the last weights that a run kept; None if the run keeps no weights or they are not stored."""
    step = select(func.max(ArtifactReferenceRow.step)).where(ArtifactReferenceRow.run_id == run_id).scalar_subquery()
    mine = (ArtifactReferenceRow.run_id == run_id, ArtifactReferenceRow.step == step)
    return session.scalar(
        select(ArtifactRow).join(ArtifactReferenceRow, ArtifactReferenceRow.key == ArtifactRow.key).where(*mine)
    )


def with_weights(session: Session, run_ids: Collection[str]) -> set[str]:
    """Return the ids of the runs whose last weights are stored."""
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
