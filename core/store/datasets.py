"""Uploaded datasets, and the revisions that hub ids are pinned to."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from core.store import lifecycle
from core.store.tables import DatasetRow, RevisionRow, RunRow


def add(session: Session, dataset_id: str, *, name: str, report: dict[str, Any]) -> DatasetRow:
    """Write a dataset whose files are in place."""
    row = DatasetRow(id=dataset_id, name=name, report=report, created_at=lifecycle.clock(session))
    session.add(row)
    session.flush()
    return row


def get(session: Session, dataset_id: str) -> DatasetRow:
    """One dataset.

    Raises:
        NotFoundError: there is no such dataset.
    """
    row = session.get(DatasetRow, dataset_id)
    if row is None:
        raise NotFoundError(f"There is no dataset {dataset_id}. GET /v1/datasets lists those there are.")
    return row


def every(session: Session) -> list[DatasetRow]:
    """All datasets, newest first."""
    return list(session.scalars(select(DatasetRow).order_by(DatasetRow.id.desc())))


def remove(session: Session, dataset_id: str) -> None:
    """Forget a dataset; its files are deleted after the commit.

    Raises:
        ConflictError: a run that has not ended still reads it.
    """
    row = get(session, dataset_id)
    active = select(RunRow.id, RunRow.spec).where(RunRow.status.in_(["queued", "running", "cancelling"]))
    for run_id, spec in session.execute(active):
        if spec["dataset"] == dataset_id:
            raise ConflictError(f"Run {run_id} still reads this dataset. Cancel it first, or wait until it ends.")
    session.delete(row)


def pinned_revision(session: Session, source: str) -> str | None:
    """The revision that is required of a hub id, None before its first download."""
    row = session.get(RevisionRow, source)
    return row.revision if row else None


def pin_revision(session: Session, source: str, revision: str) -> None:
    """Require this revision from now on; the first one stays."""
    lifecycle.hold_key(session, source)
    if session.get(RevisionRow, source) is None:
        session.add(RevisionRow(source=source, revision=revision, created_at=lifecycle.clock(session)))
