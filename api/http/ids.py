"""Ids from an address: whatever a caller names goes through here, so that nobody reaches another tenant's.

They are checked before the database sees them: PostgreSQL refuses some characters, and a path takes any.
"""

import re

from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.store.database.tables import DatasetRow, RunRow
from core.store.queries import datasets, runs
from core.store.queries.datasets import Hold


def is_id(text: str, kind: str) -> bool:
    """Whether this could be an id of this kind: `run`, `ds`, `wh`, `dlv`, `key`."""
    return re.fullmatch(rf"{kind}_[0-9a-z]{{26}}", text, re.ASCII) is not None


def is_run(run_id: str) -> bool:
    """Whether this could be the id of a run."""
    return is_id(run_id, "run")


def run_of(session: Session, run_id: str, tenant: str, *, hold: bool = False) -> RunRow:
    """The run of this id.

    Args:
        hold: it is neither changed nor deleted before our commit.

    Raises:
        NotFoundError: the tenant has no such run.
    """
    if not is_run(run_id):
        raise NotFoundError("There is no such run. GET /v1/runs lists those there are.")
    return runs.of_tenant(session, run_id, tenant=tenant, hold=hold)


def dataset_of(session: Session, dataset_id: str, tenant: str, *, hold: Hold | None = None) -> DatasetRow:
    """The uploaded dataset of this id.

    Args:
        hold: as for `datasets.get`.

    Raises:
        NotFoundError: the tenant has no such dataset.
    """
    if not is_id(dataset_id, "ds"):
        raise NotFoundError("There is no such uploaded dataset. GET /v1/datasets lists those there are.")
    return datasets.get(session, dataset_id, tenant=tenant, hold=hold)
