"""The Celery task of a worker, and its background duties: heartbeat, sweep and cleanup."""

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
    """Register the one task of the app. A wake-up of any queue makes the supervisor run queued tasks."""

    def wake(queue: str) -> None:  # noqa: ARG001 - the argument makes messages readable in the broker
        supervisor.wake()

    app.task(wake, name=TASK, bind=False)


def forget_delivered(broker: str) -> None:
    """Delete delivered messages from a SQLite broker.

    kombu's SQLite transport only marks delivered messages, so the file would grow.

    Args:
        broker: URL of the broker; other brokers are left unchanged.
    """
    if not broker.startswith(SQLITE_BROKER):
        return
    try:
        with closing(sqlite3.connect(broker.removeprefix(SQLITE_BROKER), timeout=0.2)) as file, file:
            file.execute("DELETE FROM kombu_message WHERE visible = 0")
    except sqlite3.OperationalError as error:  # no message was ever sent, or the file is busy
        log.debug("delivered messages are not deleted: %s", error)


class BackgroundDuties:
    """Background duties of a worker, each in its own thread: heartbeat, sweep, and cleanup of scratch folders."""

    def __init__(self, settings: Settings, database: Database, supervisor: Supervisor) -> None:
        self._settings = settings
        self._database = database
        self._supervisor = supervisor
        self._stopped = threading.Event()
        self._own_wake = threading.Thread()

    def start(self) -> None:
        """Start the threads."""
        for duty, seconds in (
            (self.beat, self._settings.heartbeat_seconds),
            (self.sweep, self._settings.sweep_seconds),
            (self.collect, self._settings.collect_seconds),
        ):
            threading.Thread(target=self._every, args=(seconds, duty), daemon=True).start()

    def stop(self) -> None:
        """Stop the duties, wait for tasks that the sweep started, and delete the row of this worker."""
        self._stopped.set()
        if self._own_wake.is_alive():
            self._own_wake.join()
        try:
            with self._database.writing() as session:
                workers.leave(session, self._supervisor.worker_id)
        except StorageUnavailableError:
            log.warning("the database does not answer; the row of this worker is deleted later")

    def beat(self) -> None:
        """Record a heartbeat of this worker."""
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
        """Queue lost tasks again and send lost wake-ups again. An idle worker also looks for queued tasks itself."""
        settings = self._settings
        wake_ups = sweep.sweep(
            self._database, max_attempts=settings.max_attempts, deadline_seconds=settings.deadline_seconds
        )
        if self._supervisor.idle and not self._own_wake.is_alive():
            self._own_wake = threading.Thread(target=self._wake_without_message)
            self._own_wake.start()
        self._supervisor.notify(wake_ups)
        forget_delivered(self._settings.broker)

    def _wake_without_message(self) -> None:
        """Run queued tasks without a wake-up: the broker may be away, or a frozen worker may have the message."""
        try:
            self._supervisor.wake()
        except StorageUnavailableError as error:
            log.warning("queued tasks could not be read: %s", error.detail)

    def collect(self) -> None:
        """Delete unused scratch folders of this machine."""
        collect.collect_scratch(self._database, self._supervisor.store)

    def _every(self, seconds: float, duty: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                duty()
            except StorageUnavailableError as error:
                log.warning("%s: %s", duty.__name__, error.detail)
            except Exception:
                log.exception("%s failed and is tried again", duty.__name__)
            self._stopped.wait(max(0.0, seconds - (time.monotonic() - started)))
