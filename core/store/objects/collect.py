"""Garbage collection: what killed processes left behind, and what nobody needs any more.

Nothing of this is needed for a run to be right: every file that counts is named by a row, and rows of what is not
needed go in the transaction that ends the need. Collected is what a process could not remove because it died first.
"""

import logging
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.domain.run import StageStatus
from core.store.database.batches import batches
from core.store.database.session import Database
from core.store.database.tables import ArtifactRow, DatasetRow, StageRow
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.ownership import owns

log = logging.getLogger(__name__)

ORPHANED_SECONDS = 24 * 3600.0
"""Younger things may belong to a transaction that has not ended."""


def collect(database: Database, store: ArtifactStore, *, older_than_seconds: float = ORPHANED_SECONDS) -> list[str]:
    """Remove what is stored and no row names, if the store is this database's, and scratch that nobody writes to.

    Args:
        older_than_seconds: younger files stay.

    Returns:
        Locations that were removed.

    Raises:
        StorageUnavailableError: database or store do not answer; what was not removed is left to the next time.
    """
    before = time.time() - older_than_seconds
    collect_scratch(database, store, older_than_seconds=older_than_seconds)
    if not owns(database, store):
        log.warning("nothing is collected: these artifacts are of a service with another database")
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
        log.info("%d stored folders that no run needs were removed", len(removed))
    return removed


def collect_scratch(database: Database, store: ArtifactStore, *, older_than_seconds: float = ORPHANED_SECONDS) -> None:
    """Bound the cache, and remove scratch folders of this machine that nobody writes to any more."""
    store.objects.make_room()
    before = time.time() - older_than_seconds
    for folder in (*store.incoming.glob("*"), *store.trash.glob("*")):
        if _modified_at(folder) < before:
            store.discard(folder)
    for run in store.attempts.glob("*"):
        for attempt in run.glob("*/*"):
            if _modified_at(attempt) < before and not _goes_on(database, run.name, attempt):
                store.end_attempt(attempt)
        for folder in (*run.glob("*"), run):
            if _modified_at(folder) < before:
                with suppress(OSError):
                    folder.rmdir()  # only an empty one goes


def _goes_on(database: Database, run_id: str, attempt: Path) -> bool:
    stage_id = attempt.parent.name.replace("-", "/")
    with database.reading() as session:
        row = session.get(StageRow, (run_id, stage_id))
    return row is not None and row.status == StageStatus.RUNNING and str(row.token) == attempt.name


def _named(session: Session, locations: list[str]) -> set[str]:
    named = set(session.scalars(select(ArtifactRow.location).where(ArtifactRow.location.in_(locations))))
    return named | set(session.scalars(select(DatasetRow.location).where(DatasetRow.location.in_(locations))))


def _modified_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # somebody else has just removed it
        return time.time()
