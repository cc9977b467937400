"""Periodic background work of the API: requeue lost stages, send wake-ups again, and delete expired records."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from core.errors import StorageUnavailableError
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import sweep
from core.store.engine.lifecycle import WakeUp
from core.store.objects import collect
from core.store.objects.artifacts import ArtifactStore
from core.store.queries import deliveries, idempotency

log = logging.getLogger(__name__)


class Sweeper:
    """A thread that sweeps every `sweep_seconds` and deletes unused files of the store every `collect_seconds`."""

    def __init__(
        self, settings: Settings, database: Database, store: ArtifactStore, notify: Callable[[Iterable[WakeUp]], None]
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._notify = notify
        self._collected_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweep", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the current sweep."""
        self._stopped.set()
        self._thread.join()

    def sweep(self) -> None:
        """Run one sweep: requeue lost stages, delete expired records, and delete unused files if that is due."""
        settings = self._settings
        self._notify(
            sweep.sweep(self._database, max_attempts=settings.max_attempts, deadline_seconds=settings.deadline_seconds)
        )
        with self._database.writing() as session:
            idempotency.forget_old(session)
            deliveries.forget(session)
        if time.monotonic() - self._collected_at > settings.collect_seconds:
            self._collected_at = time.monotonic()
            collect.collect(self._database, self._store)

    def _work(self) -> None:
        while not self._stopped.wait(self._settings.sweep_seconds):
            try:
                self.sweep()
            except StorageUnavailableError as error:
                log.warning("sweep: %s", error.detail)
            except Exception:
                log.exception("the sweep failed; the next one follows")
