"""Ids in request paths. Every route resolves ids here, so that no caller reaches another tenant's rows.

Ids are validated before they reach the database: a path may contain characters that PostgreSQL refuses.
"""

import re

from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.store.database.tables import DatasetRow, RunRow
from core.store.queries import datasets, runs
from core.store.queries.datasets import Hold


def is_id(text: str, kind: str) -> bool:
    """Return True if the text has the form of an id of this kind: `run`, `ds`, `wh`, `dlv` or `key`."""
    return re.fullmatch(rf"{kind}_[0-9a-z]{{26}}", text, re.ASCII) is not None


def is_run(run_id: str) -> bool:
    """Return True if the text has the form of a run's id."""
    return is_id(run_id, "run")


def run_of(session: Session, run_id: str, tenant: str, *, hold: bool = False) -> RunRow:
    """Return the run with this id.

    Args:
        session: an open transaction.
        run_id: as sent by the caller; any text.
        tenant: the caller's tenant.
        hold: lock the row until the commit, so that no other transaction changes or deletes it.

    Raises:
        NotFoundError: the tenant has no such run.
    """
    if not is_run(run_id):
        raise NotFoundError("There is no such run. GET /v1/runs lists the existing ones.")
    return runs.of_tenant(session, run_id, tenant=tenant, hold=hold)


def dataset_of(session: Session, dataset_id: str, tenant: str, *, hold: Hold | None = None) -> DatasetRow:
    """Return the uploaded dataset with this id.

    Args:
        session: an open transaction.
        dataset_id: as sent by the caller; any text.
        tenant: the caller's tenant.
        hold: how to lock the row, as for `datasets.get`; None does not lock.

    Raises:
        NotFoundError: the tenant has no such dataset.
    """
    if not is_id(dataset_id, "ds"):
        raise NotFoundError("There is no such uploaded dataset. GET /v1/datasets lists the existing ones.")
    return datasets.get(session, dataset_id, tenant=tenant, hold=hold)
