"""The sweep: end runs past their deadline, take lost stages back, and ring for those that nobody came for.

Workers and the API run it. What is ended or taken back has a transaction of its own, so that a stage that cannot be had
now stops no other.
"""

import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from core.errors import EmbedreelError
from core.store.database.session import Database
from core.store.engine import recovery
from core.store.engine.lifecycle import WakeUp

log = logging.getLogger(__name__)


def sweep(database: Database, *, max_attempts: int, deadline_seconds: float) -> list[WakeUp]:
    """One sweep.

    Args:
        max_attempts: so many times a stage may be lost.
        deadline_seconds: so long a run may go on.

    Returns:
        Bells to be rung.

    Raises:
        StorageUnavailableError: the database does not answer.
    """
    with database.reading() as session:
        overdue = recovery.overdue(session, deadline_seconds=deadline_seconds)
        expired = recovery.expired(session)
    wake_ups = []
    for run_id in overdue:
        wake_ups += _alone(database, partial(recovery.time_out, run_id=run_id, deadline_seconds=deadline_seconds))
    for lost in expired:
        wake_ups += _alone(database, partial(recovery.take_back, lost=lost, max_attempts=max_attempts))
    return wake_ups + _alone(database, recovery.notify_again)


def _alone(database: Database, change: Callable[[Session], list[WakeUp]]) -> list[WakeUp]:
    try:
        with database.writing() as session:
            return change(session)
    except EmbedreelError as error:
        log.warning("a stage is left to the next sweep: %s", error.detail)
        return []
