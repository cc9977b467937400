"""One attempt at a claimed task, from the start of its child process to the published artifact.

The attempt renews the lease, stores the progress, and publishes what the child hands over. It stops the child when the
worker stops, the run is cancelled, the lease is lost, or the child hangs.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception_type, wait_fixed

from core import logs, tracing
from core.data.sources import pinned_as
from core.domain.plan import state_key
from core.domain.trained import begins_with
from core.errors import EmbedreelError, NotReadyError, StorageUnavailableError, UnusableStateError
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import artifact_rows, claims, failures, publishing
from core.store.engine.claim import Claim
from core.store.engine.claims import LeaseState, Published
from core.store.engine.lifecycle import WakeUp
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.stored import Stored, retry_while_unavailable
from core.store.queries import datasets
from worker.child import Child
from worker.job import Job
from worker.lease import Lease
from worker.watchdog import Watchdog

log = logging.getLogger(__name__)

T = TypeVar("T")

PROGRESS_SECONDS = 0.5
"""Shortest time between two progress writes of a task. Chosen by hand: a shorter time writes more rows."""

ASK_SECONDS = 1.0
"""Pause between two SIGTERM signals to a child that must stop. Chosen by hand; not measured."""

WRITE_AGAIN_SECONDS = 0.5
"""Pause between two tries of a write while the database does not answer.

Chosen by hand: it adds to the recovery time.
"""


class Ending(Enum):
    """How the child's part of an attempt ended.

    REPORTED: the child sent its last message, and the message is handled. EXITED: the child ended without its last
    message. STOPPED: the worker stops. CANCELLED: the run is being cancelled. LEASE_LOST: the claim is no longer valid.
    HUNG: the watchdog found that the child hangs. In the last four cases the attempt has stopped the child.
    """

    REPORTED = auto()
    EXITED = auto()
    STOPPED = auto()
    CANCELLED = auto()
    LEASE_LOST = auto()
    HUNG = auto()


class Attempt:
    """One attempt at a claimed task.

    Args:
        claim: the claim.
        settings: settings of the worker.
        database: database of the service.
        store: artifact store of the service.
        notify: sends wake-ups.
        stages: module with the functions of the stages.
        stopping: set when the worker must stop.
    """

    def __init__(
        self,
        claim: Claim,
        *,
        settings: Settings,
        database: Database,
        store: ArtifactStore,
        notify: Callable[[Iterable[WakeUp]], None],
        stages: str,
        stopping: threading.Event,
    ) -> None:
        self.claim = claim
        self.settings = settings
        self.database = database
        self.store = store
        self.notify = notify
        self.stages = stages
        self.stopping = stopping
        self.lease = Lease(settings, database, claim)
        self.progress_stored_at = 0.0
        self.complaint = ""
        self.unsent: list[WakeUp] = []

    def work(self) -> list[WakeUp]:
        """Run the child process until it ends. No process and no scratch folder of the attempt outlives this call.

        Returns:
            The unsent wake-up of the run's next task, if this worker serves its queue; otherwise an empty list.
        """
        with self.lease:
            try:
                delete(self.store, self.claim.unneeded)
                self._run()
            except EOFError:
                self._give_back("the fork server of its worker was killed")
            except (OSError, EmbedreelError) as error:
                self._give_back(f"its worker failed: {error}")
        return self.unsent

    def _run(self) -> None:
        folder = self.store.attempt(self.claim.run_id, self.claim.task.id, token=self.claim.token)
        try:
            self.output = folder / "output"
            self.output.mkdir()
            child = Child.start(self._job())
            self.watchdog = Watchdog(child.pid, self.settings.stall_seconds)
            try:
                self._settle(self._watch(child), child)
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
        if len(inputs) < len(set(claim.plan.inputs(claim.task))):
            runs = "the compared runs" if claim.task.shows else "the run"
            raise NotReadyError(f"an input of the task is not stored any more; retry {runs} to make the input again")
        return Job(
            claim=claim,
            output=self.output,
            settings=self.settings,
            stages=self.stages,
            pins={source: revision for source, revision in pins.items() if revision},
            inputs=dict(inputs),
            dataset=dataset,
            weights=weights,
            log_fields=logs.fields(),
        )

    def _inputs(self) -> Mapping[str, Stored]:
        """Return the stored inputs of the task, by key."""
        with self.database.reading() as session:
            return artifact_rows.recorded(session, self.claim.plan.inputs(self.claim.task))

    def _watch(self, child: Child) -> Ending:
        """Handle the messages of the child until the attempt ends."""
        while True:
            exited = child.ended  # read before the pipe, so that the last message is not missed
            message = child.receive(timeout_seconds=0.2)
            if message is not None and self._handle(*message):
                return Ending.REPORTED
            if message is None and exited:
                return Ending.EXITED
            if ending := self._reason_to_stop():
                return self._stop(child, ending)

    def _reason_to_stop(self) -> Ending | None:
        lease_state = self.lease.lease_state
        if lease_state is LeaseState.LOST:
            return Ending.LEASE_LOST
        if lease_state is LeaseState.CANCEL:
            return Ending.CANCELLED
        if self.stopping.is_set():
            return Ending.STOPPED
        self.complaint = self.watchdog.complaint()
        return Ending.HUNG if self.complaint else None

    def _stop(self, child: Child, ending: Ending) -> Ending:
        """Stop the child. If the worker stops or the run is cancelled, the child is asked first and stores its state.

        Returns:
            The given ending, or REPORTED if the child finished before it stopped.
        """
        if ending in {Ending.STOPPED, Ending.CANCELLED} and self._ask_to_stop(child):
            return Ending.REPORTED
        child.kill()
        return ending

    def _ask_to_stop(self, child: Child) -> bool:
        """Ask the child to stop, and handle its last messages; return True if the child finished first."""
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
                return False

    def _settle(self, ending: Ending, child: Child) -> None:
        """Record how the attempt ended. REPORTED: already recorded. LEASE_LOST: nothing may be written."""
        match ending:
            case Ending.EXITED:
                self._give_back(f"its process ended with {child.exit_reason}", blame=not self.stopping.is_set())
            case Ending.STOPPED:
                self._give_back("its worker was asked to stop", blame=False)
            case Ending.HUNG:
                self._give_back(self.complaint)
            case Ending.CANCELLED:
                self._write(lambda session: failures.give_up(session, self.claim))

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

    def _progress(self, *, done: int, total: int) -> None:
        at = time.monotonic()
        if at - self.progress_stored_at < PROGRESS_SECONDS and done < total:
            return
        self.progress_stored_at = at
        try:
            with self.database.writing() as session:
                claims.progress(session, self.claim, done=done, total=total)
        except StorageUnavailableError:
            log.warning("progress is not stored: the database does not answer")

    def _publish_part(self, *, part_id: str, folder: str, facts: dict[str, Any]) -> None:
        part = next(part for part in self.claim.task.parts if part.id == part_id)
        stored = self._put(Path(folder), part.key)
        published = self._write(lambda session: publishing.publish_part(session, self.claim, part, stored, facts))
        self._follow_up(published)

    def _publish_state(self, *, folder: str, step: int) -> None:
        key = state_key(self.claim.run_id, self.claim.task.id, token=self.claim.token, step=step)
        stored = self._put(Path(folder), key)
        self._follow_up(self._write(lambda session: publishing.publish_state(session, self.claim, stored, step=step)))

    def _finish(self, facts: dict[str, Any]) -> None:
        stored = self._put(self.output, self.claim.task.key)
        published = self._write(lambda session: publishing.finish(session, self.claim, stored, facts))
        own = next((wake_up for wake_up in published.wake_ups if wake_up.queue in self.settings.queues), None)
        self.unsent = [own] if own else []
        others = tuple(wake_up for wake_up in published.wake_ups if wake_up is not own)
        self._follow_up(replace(published, wake_ups=others))

    def _put(self, folder: Path, key: str) -> Stored:
        """Store a folder that the child wrote; retry while an object store does not answer."""
        store = partial(self.store.put, folder, key, run_id=self.claim.run_id, token=self.claim.token)
        return retry_while_unavailable(store, give_up=lambda: self.lease.lease_state is LeaseState.LOST)

    def _follow_up(self, published: Published) -> None:
        """Do the work that follows a commit: send wake-ups and delete unneeded locations."""
        self.notify(published.wake_ups)
        delete(self.store, published.unneeded)

    def _fail(self, error: EmbedreelError) -> None:
        log.warning("task failed: %s", error.detail)
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
        log.warning("task given back: %s", reason)
        tracing.failed(reason)
        given = partial(failures.give_back, reason=reason, blame=blame, max_attempts=self.settings.max_attempts)
        self._follow_up(self._write(lambda session: given(session, self.claim)))

    def _write(self, change: Callable[[Session], T]) -> T:
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


def delete(store: ArtifactStore, locations: Iterable[str]) -> None:
    """Delete locations that no row names. If this fails, the garbage collection deletes them later."""
    try:
        store.delete(locations)
    except (OSError, StorageUnavailableError) as error:
        log.warning("stored folders are left to the garbage collection: %s", error)
