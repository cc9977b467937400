"""Stored weights, and which runs count on them: those that keep them, and those that begin with them.

Weights outlive the run that made them for as long as another run begins with them.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.domain.plan import Plan
from core.domain.spec import RunSpec
from core.domain.trained import begins_with
from core.store.portions import portions
from core.store.tables import ArtifactRow, WeightsRow


def hold(session: Session, run_id: str, spec: RunSpec, plan: Plan) -> None:
    """Let a new run count on the weights that it will keep, and on those that it begins with."""
    parts = [part for stage in plan.stages for part in stage.parts if part.effect == "keeps"]
    session.add_all(WeightsRow(run_id=run_id, key=part.key, step=part.step) for part in parts)
    if key := begins_with(spec):
        session.add(WeightsRow(run_id=run_id, key=key, step=None))


def release(session: Session, run_id: str) -> set[str]:
    """Let a run that is being deleted count on nothing any more; returns the keys that no other run counts on."""
    gone = delete(WeightsRow).where(WeightsRow.run_id == run_id)
    keys = set(session.scalars(gone.returning(WeightsRow.key)))
    return keys - held_by_others(session, run_id, keys)


def held_by_others(session: Session, run_id: str, keys: Iterable[str]) -> set[str]:
    """Those of these keys that another run counts on."""
    held: set[str] = set()
    for portion in portions(keys):
        others = select(WeightsRow.key).where(WeightsRow.key.in_(portion), WeightsRow.run_id != run_id)
        held.update(session.scalars(others))
    return held


def last(session: Session, run_id: str) -> ArtifactRow | None:
    """The last weights that a run has kept; None where it keeps none, or they are not there."""
    step = select(func.max(WeightsRow.step)).where(WeightsRow.run_id == run_id).scalar_subquery()
    mine = (WeightsRow.run_id == run_id, WeightsRow.step == step)
    return session.scalar(select(ArtifactRow).join(WeightsRow, WeightsRow.key == ArtifactRow.key).where(*mine))


def kept(session: Session, run_ids: Collection[str]) -> set[str]:
    """Those of these runs whose last weights are there."""
    if not run_ids:
        return set()
    last_step = (
        select(WeightsRow.run_id, func.max(WeightsRow.step).label("step"))
        .where(WeightsRow.run_id.in_(run_ids))
        .group_by(WeightsRow.run_id)
        .subquery()
    )
    query = (
        select(WeightsRow.run_id)
        .join(last_step, (last_step.c.run_id == WeightsRow.run_id) & (last_step.c.step == WeightsRow.step))
        .join(ArtifactRow, ArtifactRow.key == WeightsRow.key)
    )
    return set(session.scalars(query))
