"""Ids from an address, before the database sees them: PostgreSQL refuses some characters, and a path takes any."""

import re

from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.store import datasets, runs
from core.store.tables import DatasetRow, RunRow

_RUN = re.compile(r"run_[0-9a-z]{26}", re.ASCII)
_DATASET = re.compile(r"ds_[0-9a-z]{26}", re.ASCII)


def is_run(run_id: str) -> bool:
    """Whether this could be the id of a run."""
    return _RUN.fullmatch(run_id) is not None


def run_of(session: Session, run_id: str) -> RunRow:
    """The run of this id.

    Raises:
        NotFoundError: there is no such run.
    """
    if not is_run(run_id):
        raise NotFoundError("There is no such run. GET /v1/runs lists those there are.")
    return runs.get(session, run_id)


def dataset_of(session: Session, dataset_id: str) -> DatasetRow:
    """The uploaded dataset of this id.

    Raises:
        NotFoundError: there is no such dataset.
    """
    if not _DATASET.fullmatch(dataset_id):
        raise NotFoundError("There is no such uploaded dataset. GET /v1/datasets lists those there are.")
    return datasets.get(session, dataset_id)
