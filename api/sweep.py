"""What the API does beside answering: take lost work back, ring again, and forget what has had its time."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from core.errors import StorageUnavailableError
from core.store import runs, sweep
from core.store.lifecycle import Bell
from core.store.session import Database

log = logging.getLogger(__name__)

ABANDONED_SECONDS = 24 * 3600.0


class Sweeper:
    """The sweep, in a thread, every few seconds."""

    def __init__(
        self, database: Database, ring: Callable[[Iterable[Bell]], None], *, max_attempts: int, seconds: float
    ) -> None:
        self._database = database
        self._ring = ring
        self._max_attempts = max_attempts
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the sweep that may be under way."""
        self._stopped.set()
        self._thread.join()

    def sweep(self) -> None:
        """One sweep."""
        self._ring(sweep.sweep(self._database, max_attempts=self._max_attempts))
        with self._database.writing() as session:
            runs.forget_answers(session)

    def _work(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self.sweep()
            except StorageUnavailableError as error:
                log.warning("sweep: %s", error.detail)
            except Exception:
                log.exception("the sweep failed; it is tried again")


def remove_abandoned(incoming: Path) -> None:
    """Delete what uploads left behind when their process was killed."""
    for folder in incoming.glob("*"):
        if folder.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
