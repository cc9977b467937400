"""Run claimed stages in child processes.

The supervisor claims a stage, starts its child process, and renews the lease. The supervisor stores the progress, and
stops the child when the run is cancelled or the lease is lost. Then the supervisor publishes the artifacts of the
child, and claims the next stage. The supervisor never imports torch.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, wait_fixed

from core import logs, tracing
from core.data.sources import pinned_as
from core.domain.plan import state_key
from core.domain.trained import begins_with
from core.errors import EmbedreelError, NotReadyError, StorageUnavailableError, UnusableStateError
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import artifact_rows, claims, failures, publishing
from core.store.engine.claims import Claim, LeaseState, Published
from core.store.engine.lifecycle import StageId, WakeUp
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.stored import Stored, retry_while_unavailable
from core.store.queries import datasets
from worker.child import Child
from worker.lease import Lease
from worker.runner import Job
from worker.watchdog import Watchdog

log = logging.getLogger(__name__)

T = TypeVar("T")
PROGRESS_SECONDS = 0.5
"""Shortest time between two progress writes of a stage. A choice: a shorter time writes more rows."""

ASK_SECONDS = 1.0
"""Pause between two SIGTERM signals to a child that shall stop. A choice."""

WRITE_AGAIN_SECONDS = 0.5
"""Pause between two tries of a write while the database does not answer. A choice: it adds to the recovery time."""


@dataclass
class Supervisor:
    """Runs queued stages for one worker, up to `worker_concurrency` at once.

    Attributes:
        notify: sends wake-ups.
        stopping: set when the worker shall stop.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    worker_id: str
    notify: Callable[[Iterable[WakeUp]], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    _working: dict[int, dict[str, str]] = field(default_factory=dict, init=False)
    _places: threading.Semaphore = field(init=False)
    _wake_requested: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._places = threading.BoundedSemaphore(self.settings.worker_concurrency)

    @property
    def idle(self) -> bool:
        """True if no stage is running."""
        return not self._working

    @property
    def doing(self) -> list[dict[str, str]]:
        """The running stages, each as `{"run": …, "stage": …}`."""
        return list(self._working.values())

    def wake(self) -> None:
        """Handle a wake-up: run queued stages, the first stage of the earliest run first, until no stage is queued.

        The wake-up does not say which stage to run. A wake-up may be lost, or a frozen worker may have received it. Its
        stage must not wait for its next wake-up while younger runs are served. If all places are taken, the thread that
        finishes first reads the queue once more.
        """
        self._wake_requested.set()
        while self._wake_requested.is_set() and self._places.acquire(blocking=False):
            self._wake_requested.clear()
            try:
                self._run_queued_stages()
            finally:
                self._places.release()

    def _run_queued_stages(self) -> None:
        wanted = self._next()
        while wanted and not self.stopping.is_set():
            claim = self._claim(wanted)
            unsent = self._run_claim(claim) if claim else []
            following = self._next()
            self.notify([wake_up for wake_up in unsent if wake_up.stage != following or self.stopping.is_set()])
            if claim is None and following == wanted:
                return
            wanted = following

    def _next(self) -> StageId | None:
        with self.database.reading() as session:
            return claims.next_queued(session, queues=self.settings.queues)

    def _run_claim(self, claim: Claim | Published) -> list[WakeUp]:
        """Run a claimed stage.

        Returns:
            The wake-up of the run's next stage. It need not be sent if this thread runs that stage next.
        """
        if isinstance(claim, Published):
            self.notify(claim.wake_ups)
            self.delete(claim.unneeded)
            return []
        return self._work(claim)

    def _work(self, claim: Claim) -> list[WakeUp]:
        doing = {"run": claim.run_id, "stage": claim.stage.id}
        fields: dict[str, str | int] = {**doing, "attempt": claim.attempt}
        self._working[threading.get_ident()] = doing
        try:
            with logs.bound(**fields), tracing.span(claim.stage.name, **fields):
                log.info("stage started")
                return _Attempt(self, claim).work()
        except StorageUnavailableError as error:
            log.error("the sweep recovers run %s stage %s: %s", claim.run_id, claim.stage.id, error.detail)  # noqa: TRY400 - the traceback adds nothing
        finally:
            del self._working[threading.get_ident()]
        return []

    def delete(self, locations: Iterable[str]) -> None:
        """Delete locations that no row names. The garbage collection deletes later what cannot be deleted now."""
        try:
            self.store.delete(locations)
        except (OSError, StorageUnavailableError) as error:
            log.warning("stored folders are left to the garbage collection: %s", error)

    def _claim(self, wanted: StageId) -> Claim | Published | None:
        lease = self.settings.lease_seconds
        with self.database.writing() as session:
            return claims.claim(session, *wanted, worker_id=self.worker_id, lease_seconds=lease)


class _Attempt:
    """One claimed stage, from the start of its child process to the published artifact."""

    def __init__(self, supervisor: Supervisor, claim: Claim) -> None:
        self.supervisor = supervisor
        self.claim = claim
        self.settings = supervisor.settings
        self.database = supervisor.database
        self.store = supervisor.store
        self.notify = supervisor.notify
        self.stopping = supervisor.stopping
        self.lease = Lease(self.settings, self.database, claim)
        self.shown_at = 0.0
        self.unsent: list[WakeUp] = []

    def work(self) -> list[WakeUp]:
        """Run the child process until it ends. No process and no scratch folder of the attempt outlives this call.

        Returns:
            The unsent wake-up of the run's next stage, if this worker serves its queue; otherwise an empty list.
        """
        with self.lease:
            try:
                self.supervisor.delete(self.claim.unneeded)
                self._run()
            except EOFError:
                self._give_back("the fork server of its worker was killed")
            except (OSError, EmbedreelError) as error:
                self._give_back(f"its worker failed: {error}")
        return self.unsent

    def _run(self) -> None:
        folder = self.store.attempt(self.claim.run_id, self.claim.stage.id, token=self.claim.token)
        try:
            self.output = folder / "output"
            self.output.mkdir()
            child = Child.start(self._job())
            self.watchdog = Watchdog(child.pid, self.settings.stall_seconds)
            try:
                self._watch(child)
            finally:
                child.kill()
        finally:
            self.store.end_attempt(folder)

    def _job(self) -> Job:
        """Return all data that the child needs. The child never uses the database."""
        claim = self.claim
        sources = (pinned_as(claim.spec.dataset), claim.spec.model)
        inputs = self._inputs()
        with self.database.reading() as session:
            pins = {source: datasets.pinned_revision(session, source) for source in sources if source}
            dataset = datasets.stored(session, claim.spec.dataset)
            key = begins_with(claim.spec)
            weights = artifact_rows.recorded(session, [key]).get(key) if key else None
        if len(inputs) < len(set(claim.plan.inputs(claim.stage))):
            runs = "the compared runs" if claim.stage.shows else "the run"
            raise NotReadyError(f"an input of the stage is not stored any more; retry {runs} to make the input again")
        return Job(
            spec=claim.spec,
            plan=claim.plan,
            stage_id=claim.stage.id,
            output=self.output,
            settings=self.settings,
            pins={source: revision for source, revision in pins.items() if revision},
            inputs=dict(inputs),
            dataset=dataset,
            weights=weights,
            state=claim.state,
            log_fields=logs.fields(),
        )

    def _inputs(self) -> Mapping[str, Stored]:
        """Return the stored inputs of the stage, by key."""
        with self.database.reading() as session:
            return artifact_rows.recorded(session, self.claim.plan.inputs(self.claim.stage))

    def _watch(self, child: Child) -> None:
        while True:
            ended = child.ended  # read before the pipe, so that the last message is not missed
            message = child.receive(timeout_seconds=0.2)
            if message is not None and self._handle(*message):
                return
            if message is None and ended:
                self._give_back(f"its process ended with {child.exit_reason}", blame=not self.stopping.is_set())
                return
            if self._must_stop(child):
                return

    def _handle(self, kind: str, message: dict[str, Any]) -> bool:
        """Handle a message of the child; return True if the message is the last one."""
        self._act(kind, message)
        self.watchdog.reported()
        return kind in {"done", "failed"}

    def _act(self, kind: str, message: dict[str, Any]) -> None:
        match kind:
            case "progress":
                self._progress(**message)
            case "event":
                self._write(lambda session: claims.append_event(session, self.claim, message["event"], message["data"]))
            case "part":
                self._publish_part(**message)
            case "state":
                self._publish_state(**message)
            case "pin":
                self._write(lambda session: datasets.pin_revision(session, **message))
            case "done":
                self._finish(message["facts"])
            case "failed":
                self._fail(message["error"])

    def _must_stop(self, child: Child) -> bool:
        """Stop the stage if the worker stops, the run is cancelled, the lease is lost or the child hangs.

        Returns:
            True if the stage was stopped.
        """
        lease_state = self.lease.lease_state
        if self.stopping.is_set() and lease_state is LeaseState.HELD:
            if not self._stop(child):
                self._give_back("its worker was asked to stop", blame=False)
        elif lease_state is LeaseState.CANCEL:
            if not self._stop(child):
                self._write(lambda session: failures.give_up(session, self.claim))
        elif lease_state is LeaseState.LOST:
            child.kill()
        elif reason := self.watchdog.complaint():
            child.kill()
            self._give_back(reason)
        else:
            return False
        return True

    def _stop(self, child: Child) -> bool:
        """Stop the child and handle its last messages; return True if the child finished before it stopped."""
        until = time.monotonic() + self.settings.cancel_grace_seconds
        ask_at = -math.inf
        while True:
            if time.monotonic() > ask_at:  # repeated, because a child that has just started may miss the first signal
                child.ask_to_stop()
                ask_at = time.monotonic() + ASK_SECONDS
            over = child.ended or time.monotonic() > until
            message = child.receive(timeout_seconds=0.2)
            if message is not None and self._handle(*message):
                return True
            if over and (message is None or time.monotonic() > until):
                child.kill()
                return False

    def _progress(self, *, done: int, total: int) -> None:
        at = time.monotonic()
        if at - self.shown_at < PROGRESS_SECONDS and done < total:
            return
        self.shown_at = at
        try:
            with self.database.writing() as session:
                claims.progress(session, self.claim, done=done, total=total)
        except StorageUnavailableError:
            log.warning("progress is not stored: the database does not answer")

    def _publish_part(self, *, part_id: str, folder: str, facts: dict[str, Any]) -> None:
        part = next(part for part in self.claim.stage.parts if part.id == part_id)
        stored = self._put(Path(folder), part.key)
        published = self._write(lambda session: publishing.publish_part(session, self.claim, part, stored, facts))
        self._follow_up(published)

    def _publish_state(self, *, folder: str, step: int) -> None:
        key = state_key(self.claim.run_id, self.claim.stage.id, token=self.claim.token, step=step)
        stored = self._put(Path(folder), key)
        self._follow_up(self._write(lambda session: publishing.publish_state(session, self.claim, stored, step=step)))

    def _finish(self, facts: dict[str, Any]) -> None:
        stored = self._put(self.output, self.claim.stage.key)
        published = self._write(lambda session: publishing.finish(session, self.claim, stored, facts))
        own = next((wake_up for wake_up in published.wake_ups if wake_up.queue in self.settings.queues), None)
        self.unsent = [own] if own else []
        self._follow_up(
            replace(published, wake_ups=tuple(wake_up for wake_up in published.wake_ups if wake_up is not own))
        )

    def _put(self, folder: Path, key: str) -> Stored:
        """Store a folder that the child wrote; retry while an object store does not answer."""
        store = partial(self.store.put, folder, key, run_id=self.claim.run_id, token=self.claim.token)
        return retry_while_unavailable(store, give_up=lambda: self.lease.lease_state is LeaseState.LOST)

    def _follow_up(self, published: Published) -> None:
        """Do the work that follows a commit: send wake-ups and delete unneeded locations."""
        self.notify(published.wake_ups)
        self.supervisor.delete(published.unneeded)

    def _fail(self, error: EmbedreelError) -> None:
        log.warning("stage failed: %s", error.detail)
        tracing.failed(error.detail)
        if isinstance(error, UnusableStateError):
            again = partial(failures.begin_anew, reason=error.detail, max_attempts=self.settings.max_attempts)
            self._follow_up(self._write(lambda session: again(session, self.claim)))
        elif isinstance(error, NotReadyError):
            missing = self.store.missing(self._inputs())
            self._write(lambda session: failures.fail_for_lost(session, self.claim, error, missing=missing))
        else:
            self._write(lambda session: failures.fail(session, self.claim, error))

    def _give_back(self, reason: str, *, blame: bool = True) -> None:
        log.warning("stage given back: %s", reason)
        tracing.failed(reason)
        given = partial(failures.give_back, reason=reason, blame=blame, max_attempts=self.settings.max_attempts)
        self._follow_up(self._write(lambda session: given(session, self.claim)))

    def _write(self, change: Callable[[Any], T]) -> T:
        """Run a transaction; retry while the database does not answer and the lease may still be valid."""

        def attempt() -> T:
            with self.database.writing() as session:
                return change(session)

        retrying = Retrying(
            retry=retry_if_exception_type(StorageUnavailableError),
            wait=wait_fixed(WRITE_AGAIN_SECONDS),
            stop=lambda _: self.lease.expired,
            reraise=True,
        )
        return retrying(attempt)
