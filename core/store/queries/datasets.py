"""Uploaded datasets, and the pinned revisions of hub ids."""

from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import ConflictError, NotFoundError
from core.store.database.session import clock
from core.store.database.tables import DatasetRow, RevisionRow, RunRow
from core.store.engine import artifact_rows
from core.store.objects.stored import Stored
from core.store.queries import idempotency

Hold = Literal["to_read", "to_delete"]


def add(
    session: Session, dataset_id: str, *, tenant: str, name: str, report: dict[str, Any], stored: Stored
) -> DatasetRow:
    """Insert a dataset whose files are stored already."""
    row = DatasetRow(
        id=dataset_id,
        tenant=tenant,
        name=name,
        location=stored.location,
        files=stored.files,
        report=report,
        created_at=clock(session),
    )
    session.add(row)
    session.flush()
    return row


def get(session: Session, dataset_id: str, *, tenant: str, hold: Hold | None = None) -> DatasetRow:
    """Return one dataset of a tenant.

    Args:
        session: transaction of the caller.
        dataset_id: id of the dataset.
        tenant: owner of the rows.
        hold: lock until the commit; None takes no lock. "to_read": the dataset is not deleted. "to_delete": the dataset
            is not deleted, and no run is accepted on it. SQLite needs no lock because it has one writer at a time.

    Raises:
        NotFoundError: the tenant has no such dataset.
    """
    query = select(DatasetRow).where(DatasetRow.id == dataset_id, DatasetRow.tenant == tenant)
    row = session.scalar(query.with_for_update(read=hold == "to_read") if hold else query)
    if row is None:
        raise NotFoundError(f"There is no dataset {dataset_id}. GET /v1/datasets lists the existing ones.")
    return row


def every(session: Session, *, tenant: str) -> list[DatasetRow]:
    """Return all datasets of a tenant, newest first."""
    return list(session.scalars(select(DatasetRow).where(DatasetRow.tenant == tenant).order_by(DatasetRow.id.desc())))


def count(session: Session, *, tenant: str) -> int:
    """Return the number of datasets of a tenant. Other transactions that count wait until the commit."""
    artifact_rows.lock_key(session, f"datasets of {tenant}")
    return session.scalar(select(func.count()).where(DatasetRow.tenant == tenant)) or 0


def stored(session: Session, dataset_id: str) -> Stored | None:
    """Return the stored folder of an uploaded dataset; None if there is no such dataset.

    The tenant is not checked here: a run was accepted only on a dataset of its own tenant.
    """
    row = session.get(DatasetRow, dataset_id)
    return Stored(row.location, row.files) if row else None


def remove(session: Session, dataset_id: str, *, tenant: str) -> str:
    """Delete a dataset.

    Returns:
        The location to delete from the store after the commit.

    Raises:
        NotFoundError: the tenant has no such dataset.
        ConflictError: a run that has not ended still reads it.
    """
    row = get(session, dataset_id, tenant=tenant, hold="to_delete")
    active = select(RunRow.id).where(
        RunRow.tenant == tenant,
        RunRow.status.in_(["queued", "running", "cancelling"]),
        RunRow.spec["dataset"].as_string() == dataset_id,
    )
    if run_id := session.scalar(active.limit(1)):
        raise ConflictError(f"Run {run_id} still reads this dataset. Cancel it first, or wait until it ends.")
    idempotency.forget(session, dataset_id)
    session.delete(row)
    return row.location


def pinned_revision(session: Session, source: str) -> str | None:
    """Return the pinned revision of a hub id; None before the first download."""
    row = session.get(RevisionRow, source)
    return row.revision if row else None


def pin_revision(session: Session, source: str, revision: str) -> None:
    """Pin the revision of a hub id. A revision that is pinned already stays."""
    artifact_rows.lock_key(session, source)
    if session.get(RevisionRow, source) is None:
        session.add(RevisionRow(source=source, revision=revision, created_at=clock(session)))
