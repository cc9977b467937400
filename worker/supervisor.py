"""Claim queued tasks and run each one as an `Attempt`, the first task of the earliest run first.

The supervisor never imports torch.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from core import logs, tracing
from core.errors import StorageUnavailableError
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import claims
from core.store.engine.claim import Claim
from core.store.engine.claims import Published
from core.store.engine.lifecycle import TaskId, WakeUp
from core.store.objects.artifacts import ArtifactStore
from worker.attempt import Attempt, delete
from worker.job import STAGES_MODULE

log = logging.getLogger(__name__)


@dataclass
class Supervisor:
    """Runs queued tasks for one worker, up to `worker_concurrency` at once.

    Attributes:
        notify: sends wake-ups.
        stages: module with the functions of the stages.
        stopping: set when the worker shall stop.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    worker_id: str
    notify: Callable[[Iterable[WakeUp]], None]
    stages: str = STAGES_MODULE
    stopping: threading.Event = field(default_factory=threading.Event)
    _working: dict[int, dict[str, str]] = field(default_factory=dict, init=False)
    _places: threading.Semaphore = field(init=False)
    _wake_requested: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._places = threading.BoundedSemaphore(self.settings.worker_concurrency)

    @property
    def idle(self) -> bool:
        """True if no task is running."""
        return not self._working

    @property
    def doing(self) -> list[dict[str, str]]:
        """The running tasks, each as `{"run": …, "stage": …}`."""
        return list(self._working.values())

    def wake(self) -> None:
        """Handle a wake-up: run queued tasks, the first task of the earliest run first, until no task is queued.

        The wake-up does not say which task to run. A wake-up may be lost, or a frozen worker may have received it. A
        task with a lost wake-up must not wait while tasks of later runs are started. If all places are taken, the
        thread that finishes first reads the queue once more.
        """
        self._wake_requested.set()
        while self._wake_requested.is_set() and self._places.acquire(blocking=False):
            self._wake_requested.clear()
            try:
                self._run_queued_tasks()
            finally:
                self._places.release()

    def _run_queued_tasks(self) -> None:
        wanted = self._next()
        while wanted and not self.stopping.is_set():
            claim = self._claim(wanted)
            unsent = self._run_claim(claim) if claim else []
            following = self._next()
            self.notify([wake_up for wake_up in unsent if wake_up.task != following or self.stopping.is_set()])
            if claim is None and following == wanted:
                return
            wanted = following

    def _next(self) -> TaskId | None:
        with self.database.reading() as session:
            return claims.next_queued(session, queues=self.settings.queues)

    def _run_claim(self, claim: Claim | Published) -> list[WakeUp]:
        """Run a claimed task.

        Returns:
            The wake-up of the run's next task. It need not be sent if this thread runs that task next.
        """
        if isinstance(claim, Published):
            self.notify(claim.wake_ups)
            delete(self.store, claim.unneeded)
            return []
        return self._work(claim)

    def _work(self, claim: Claim) -> list[WakeUp]:
        doing = {"run": claim.run_id, "stage": claim.task.id}
        fields: dict[str, str | int] = {**doing, "attempt": claim.attempt}
        self._working[threading.get_ident()] = doing
        try:
            with logs.bound(**fields), tracing.span(claim.task.name, **fields):
                log.info("task started")
                attempt = Attempt(
                    claim,
                    settings=self.settings,
                    database=self.database,
                    store=self.store,
                    notify=self.notify,
                    stages=self.stages,
                    stopping=self.stopping,
                )
                return attempt.work()
        except StorageUnavailableError as error:
            log.error("the sweep recovers run %s task %s: %s", claim.run_id, claim.task.id, error.detail)  # noqa: TRY400 - the traceback adds nothing
        finally:
            del self._working[threading.get_ident()]
        return []

    def _claim(self, wanted: TaskId) -> Claim | Published | None:
        lease = self.settings.lease_seconds
        with self.database.writing() as session:
            return claims.claim(session, *wanted, worker_id=self.worker_id, lease_seconds=lease)
