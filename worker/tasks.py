"""One thin task a stage name, and what a worker does beside them: heartbeat and sweep."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from celery import Celery

from core.errors import StorageUnavailableError
from core.queue.notifier import TASK
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import sweep
from core.store.objects import collect
from core.store.queries import workers
from worker.supervisor import Supervisor

log = logging.getLogger(__name__)

SQLITE_BROKER = "sqla+sqlite:///"


def register(app: Celery, supervisor: Supervisor) -> None:
    """Give the app its one task: a wake-up of any queue lets the supervisor take what is queued."""

    def wake(queue: str) -> None:  # noqa: ARG001 - the queue is for those who look into the broker
        supervisor.wake()

    app.task(wake, name=TASK, bind=False)


def forget_delivered(broker: str) -> None:
    """Delete the bells that kombu's SQLite transport has delivered: it only marks them, and the file would grow."""
    if not broker.startswith(SQLITE_BROKER):
        return
    try:
        with closing(sqlite3.connect(broker.removeprefix(SQLITE_BROKER), timeout=0.2)) as file, file:
            file.execute("DELETE FROM kombu_message WHERE visible = 0")
    except sqlite3.OperationalError as error:  # no bell was ever rung, or the file is busy
        log.debug("delivered bells are kept: %s", error)


class BackgroundDuties:
    """Background duties of a worker, a thread each: heartbeat, sweep of lost work, removal of what was left behind."""

    def __init__(self, settings: Settings, database: Database, supervisor: Supervisor) -> None:
        self._settings = settings
        self._database = database
        self._supervisor = supervisor
        self._stopped = threading.Event()
        self._unasked = threading.Thread()

    def start(self) -> None:
        """Begin."""
        for duty, seconds in (
            (self.beat, self._settings.heartbeat_seconds),
            (self.sweep, self._settings.sweep_seconds),
            (self.collect, self._settings.collect_seconds),
        ):
            threading.Thread(target=self._every, args=(seconds, duty), daemon=True).start()

    def stop(self) -> None:
        """End, when what was begun without a bell is given back, and say that this worker has left."""
        self._stopped.set()
        if self._unasked.is_alive():
            self._unasked.join()
        try:
            with self._database.writing() as session:
                workers.leave(session, self._supervisor.worker_id)
        except StorageUnavailableError:
            log.warning("the database does not answer; this worker's row stays until it is forgotten")

    def beat(self) -> None:
        """Say that this worker is alive."""
        device = "cuda" if Path("/dev/nvidia0").exists() else "cpu"
        with self._database.writing() as session:
            workers.beat(
                session,
                self._supervisor.worker_id,
                queues=self._settings.queues,
                device=device,
                concurrency=self._settings.worker_concurrency,
                doing=self._supervisor.doing,
            )

    def sweep(self) -> None:
        """Take lost stages back and ring for those that nobody came for; who is idle looks for work, bell or none."""
        settings = self._settings
        found = sweep.sweep(
            self._database, max_attempts=settings.max_attempts, deadline_seconds=settings.deadline_seconds
        )
        if self._supervisor.idle and not self._unasked.is_alive():
            self._unasked = threading.Thread(target=self._look_for_work)
            self._unasked.start()
        self._supervisor.notify(found)
        forget_delivered(self._settings.broker)

    def _look_for_work(self) -> None:
        """What a bell would begin: the broker may be away, or a worker that stands still may hold what it carries."""
        try:
            self._supervisor.wake()
        except StorageUnavailableError as error:
            log.warning("no work was looked for: %s", error.detail)

    def collect(self) -> None:
        """Remove what nobody writes to any more on this machine."""
        collect.collect_scratch(self._database, self._supervisor.store)

    def _every(self, seconds: float, duty: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                duty()
            except StorageUnavailableError as error:
                log.warning("%s: %s", duty.__name__, error.detail)
            except Exception:
                log.exception("%s failed; it is tried again", duty.__name__)
            self._stopped.wait(max(0.0, seconds - (time.monotonic() - started)))
