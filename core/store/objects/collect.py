"""Garbage collection of files that no row of the database names.

Such files are left by processes that were killed before they deleted the files. Runs are correct without the
collection: a row names every valid file, and the row is deleted in the transaction that ends the need.
"""

import logging
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.run import TaskStatus
from core.store.database.batches import batches
from core.store.database.session import Database
from core.store.database.tables import ArtifactRow, DatasetRow, TaskRow
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.ownership import owns

log = logging.getLogger(__name__)

ORPHANED_SECONDS = 24 * 3600.0
"""Younger files may belong to an unfinished transaction. Chosen by hand: a shorter time frees space sooner."""


def collect(database: Database, store: ArtifactStore, *, older_than_seconds: float = ORPHANED_SECONDS) -> list[str]:
    """Delete stored folders that no row names, and unused scratch folders.

    Stored folders are deleted only if the store belongs to this database.

    Args:
        database: the service's database.
        store: the service's artifact store.
        older_than_seconds: younger folders stay.

    Returns:
        The deleted locations.

    Raises:
        StorageUnavailableError: database or store do not answer; the next collection deletes the rest.
    """
    before = time.time() - older_than_seconds
    collect_scratch(database, store, older_than_seconds=older_than_seconds)
    if not owns(database, store):
        log.warning("nothing is collected: this artifact store belongs to another database")
        return []
    old = (found.location for found in store.objects.everything() if found.modified_at < before)
    removed = []
    for locations in batches(old):
        with database.reading() as session:
            named = _named(session, locations)
        orphans = [location for location in locations if location not in named]
        store.delete(orphans)
        removed += orphans
    if removed:
        log.info("%d stored folders that no run needs were deleted", len(removed))
    return removed


def collect_scratch(database: Database, store: ArtifactStore, *, older_than_seconds: float = ORPHANED_SECONDS) -> None:
    """Limit the size of the cache, and delete unused scratch folders of this machine.

    Args:
        database: the service's database.
        store: the service's artifact store.
        older_than_seconds: younger folders stay.
    """
    store.objects.make_room()
    before = time.time() - older_than_seconds
    for folder in (*store.incoming.glob("*"), *store.trash.glob("*")):
        if _modified_at(folder) < before:
            store.discard(folder)
    for run in store.attempts.glob("*"):
        for attempt in run.glob("*/*"):
            if _modified_at(attempt) < before and not _is_running(database, run.name, attempt):
                store.end_attempt(attempt)
        for folder in (*run.glob("*"), run):
            if _modified_at(folder) < before:
                with suppress(OSError):
                    folder.rmdir()  # rmdir deletes only empty folders


def _is_running(database: Database, run_id: str, attempt: Path) -> bool:
    task_id = attempt.parent.name.replace("-", "/")
    with database.reading() as session:
        row = session.get(TaskRow, (run_id, task_id))
    return row is not None and row.status == TaskStatus.RUNNING and str(row.token) == attempt.name


def _named(session: Session, locations: list[str]) -> set[str]:
    named = set(session.scalars(select(ArtifactRow.location).where(ArtifactRow.location.in_(locations))))
    return named | set(session.scalars(select(DatasetRow.location).where(DatasetRow.location.in_(locations))))


def _modified_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process has just deleted it
        return time.time()
