"""The sweep: end runs past their deadline, queue lost tasks again, and send lost wake-ups again.

Workers and the API run the sweep. Each run and each task has its own transaction. So the failure of one transaction
does not stop the others.
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
    """Sweep once.

    Args:
        database: the service's database.
        max_attempts: number of attempts after which a lost task fails.
        deadline_seconds: longest duration of a run.

    Returns:
        Wake-ups to send.

    Raises:
        StorageUnavailableError: the database does not answer.
    """
    with database.reading() as session:
        overdue = recovery.overdue(session, deadline_seconds=deadline_seconds)
        expired = recovery.expired(session)
    wake_ups = []
    for run_id in overdue:
        wake_ups += _in_own_transaction(
            database, partial(recovery.time_out, run_id=run_id, deadline_seconds=deadline_seconds)
        )
    for lost in expired:
        wake_ups += _in_own_transaction(database, partial(recovery.take_back, lost=lost, max_attempts=max_attempts))
    return wake_ups + _in_own_transaction(database, recovery.notify_again)


def _in_own_transaction(database: Database, change: Callable[[Session], list[WakeUp]]) -> list[WakeUp]:
    try:
        with database.writing() as session:
            return change(session)
    except EmbedreelError as error:
        log.warning("the next sweep tries this change again: %s", error.detail)
        return []
