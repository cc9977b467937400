"""Run claimed stages in child processes, and keep the database's word on what may go on.

The supervisor never imports torch. It claims a stage, starts its child, renews the lease, passes progress on, stops
the child when the run is cancelled or the lease is lost, publishes what the child made, and claims the run's next
stage.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from core.errors import EmbedreelError, StorageUnavailableError
from core.settings import Settings
from core.store import datasets, stages
from core.store.artifacts import ArtifactStore, Stored
from core.store.lifecycle import Bell
from core.store.session import Database
from core.store.stages import Claim, Standing
from worker.child import Child
from worker.lease import Lease
from worker.runner import Job

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
PROGRESS_SECONDS = 0.5


@dataclass
class Supervisor:
    """Works off stages for one worker; `run` is called from as many threads as the worker has places."""

    settings: Settings
    database: Database
    store: ArtifactStore
    worker_id: str
    ring: Callable[[Iterable[Bell]], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    _working: set[int] = field(default_factory=set, init=False)

    @property
    def idle(self) -> bool:
        """No stage is under way."""
        return not self._working

    def run(self, run_id: str, stage_id: str) -> None:
        """Answer a bell: run the stage if it is still to be had, then the run's next ones."""
        next_stage: str | None = stage_id
        while next_stage and not self.stopping.is_set():
            claim = self._claim(run_id, next_stage)
            if claim is None:
                return
            log.info("run %s stage %s attempt %d", run_id, claim.stage.id, claim.attempt)
            self._working.add(threading.get_ident())
            try:
                _Attempt(self, claim).work()
            except OSError as error:
                self._lost(claim, f"its worker could not write: {error}")
            finally:
                self._working.discard(threading.get_ident())
            with self.database.reading() as session:
                next_stage = stages.next_queued(session, run_id, queues=self.settings.queues)

    def _lost(self, claim: Claim, reason: str) -> None:
        log.error("run %s stage %s given back: %s", claim.run_id, claim.stage.id, reason)
        attempts = self.settings.max_attempts
        with self.database.writing() as session:
            bells = stages.give_back(session, claim, reason=reason, blame=True, max_attempts=attempts)
        self.ring(bells)

    def _claim(self, run_id: str, stage_id: str) -> Claim | None:
        lease = self.settings.lease_seconds
        with self.database.writing() as session:
            return stages.claim(session, run_id, stage_id, worker_id=self.worker_id, lease_seconds=lease)


class _Attempt:
    """One claimed stage, from its child's start to the published artifact."""

    def __init__(self, supervisor: Supervisor, claim: Claim) -> None:
        self.claim = claim
        self.settings = supervisor.settings
        self.database = supervisor.database
        self.store = supervisor.store
        self.ring = supervisor.ring
        self.stopping = supervisor.stopping
        self.folder = self.store.attempt(claim.run_id, claim.stage.id, token=claim.token) / "output"
        self.folder.mkdir()
        self.moved_at = time.monotonic()
        self.lease = Lease(self.settings, self.database, claim)
        self.shown_at = 0.0

    def work(self) -> None:
        """Run the child to its end, whatever that is. Nothing of it outlives this call."""
        job = Job(self.claim.spec, self.claim.plan, self.claim.stage.id, self.folder, self.settings, self._pins())
        with self.lease:
            child = Child.start(job)
            try:
                self._watch(child)
            finally:
                child.stop(grace_seconds=0)
                self.store.end_attempt(self.folder.parent)

    def _pins(self) -> dict[str, str]:
        """The revisions that this run's hub ids are bound to by now."""
        sources = (self.claim.spec.dataset, self.claim.spec.model)
        with self.database.reading() as session:
            pins = {source: datasets.pinned_revision(session, source) for source in sources}
        return {source: revision for source, revision in pins.items() if revision}

    def _watch(self, child: Child) -> None:
        while True:
            ended = child.ended  # asked before the last look into the pipe, so that no last word is missed
            message = child.receive(timeout_seconds=0.2)
            if message is not None and self._handle(*message):
                return
            if message is None and ended:
                self._give_back(f"its process ended with {child.exit_reason}")
                return
            if self._must_stop(child):
                return

    def _handle(self, kind: str, message: dict[str, Any]) -> bool:
        """Act on a message of the child; True if it was the last one."""
        self.moved_at = time.monotonic()
        match kind:
            case "progress":
                self._progress(**message)
            case "part":
                self._publish_part(**message)
            case "pin":
                self._write(lambda session: datasets.pin_revision(session, **message))
            case "done":
                self._finish(message["facts"])
            case "failed":
                self._fail(message["error"])
        return kind in {"done", "failed"}

    def _must_stop(self, child: Child) -> bool:
        """Whether the worker's own end, the run's wish, a lost lease or a stall ends the stage; then it is ended."""
        standing = self.lease.standing
        if self.stopping.is_set() and standing is Standing.HELD:
            child.stop(grace_seconds=self.settings.cancel_grace_seconds)
            self._give_back("its worker was asked to stop", blame=False)
        elif standing is Standing.CANCEL:
            child.stop(grace_seconds=self.settings.cancel_grace_seconds)
            self._write(lambda session: stages.give_up(session, self.claim))
        elif standing is Standing.LOST:
            child.stop(grace_seconds=0)
        elif time.monotonic() - self.moved_at > self.settings.stall_seconds:
            child.stop(grace_seconds=0)
            self._give_back(f"it showed no progress for {self.settings.stall_seconds:.0f} s")
        else:
            return False
        return True

    def _progress(self, *, done: int, total: int) -> None:
        at = time.monotonic()
        if at - self.shown_at < PROGRESS_SECONDS and done < total:
            return
        self.shown_at = at
        try:
            with self.database.writing() as session:
                stages.progress(session, self.claim, done=done, total=total)
        except StorageUnavailableError:
            log.warning("progress of %s not shown: the database does not answer", self.claim.stage.id)

    def _publish_part(self, *, part_id: str, folder: str, facts: dict[str, Any]) -> None:
        part = next(part for part in self.claim.stage.parts if part.id == part_id)
        stored, place = self._seal(Path(folder), part.key)
        self.ring(
            self._write(lambda session: stages.publish_part(session, self.claim, part, stored, facts, place=place))
        )
        self.store.discard(Path(folder))  # still there if nobody wanted it

    def _finish(self, facts: dict[str, Any]) -> None:
        stored, place = self._seal(self.folder, self.claim.stage.key)
        bells, spent = self._write(lambda session: stages.finish(session, self.claim, stored, facts, place=place))
        for key in spent:
            self.store.delete(key)
        own = next((bell for bell in bells if bell.queue in self.settings.queues), None)
        self.ring(bell for bell in bells if bell is not own)  # that one is claimed next, without a bell

    def _seal(self, folder: Path, key: str) -> tuple[Stored, Callable[[], None]]:
        """Hash what the child wrote; the files are put in place later, inside the transaction that records them."""
        return self.store.seal(folder, key), partial(self.store.place, folder, key)

    def _fail(self, error: EmbedreelError) -> None:
        log.warning("run %s stage %s failed: %s", self.claim.run_id, self.claim.stage.id, error.detail)
        self._write(lambda session: stages.fail(session, self.claim, error))

    def _give_back(self, reason: str, *, blame: bool = True) -> None:
        log.warning("run %s stage %s given back: %s", self.claim.run_id, self.claim.stage.id, reason)
        attempts = self.settings.max_attempts
        self.ring(
            self._write(
                lambda session: stages.give_back(session, self.claim, reason=reason, blame=blame, max_attempts=attempts)
            )
        )

    def _write(self, change: Callable[[Any], Answer]) -> Answer:
        """A transaction, tried again while the database is away and the lease may still be ours."""
        while True:
            try:
                with self.database.writing() as session:
                    return change(session)
            except StorageUnavailableError:
                if self.lease.expired:
                    raise
                time.sleep(0.5)
