"""Coalesced reads for polling: requests that arrive at the same time share one database read.

A request only joins a read that starts after it arrived, so a response is never older than its request. Each kind of
read has its own thread, so it waits neither for uploads nor for writers. The number of reads does not grow with the
number of clients that poll.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Generic, Self, TypeVar

from fastapi import Depends

from api.access.services import service
from api.http.ids import is_run
from api.runs import describe
from core.domain.run import RunStatus
from core.errors import NotFoundError, StorageUnavailableError
from core.store.database.session import LOCK_WAIT_SECONDS, Database
from core.store.queries import runs, waiting
from core.store.queries.waiting import RunState

TICK_SECONDS = 0.25
"""Interval between reads for requests that wait for a change, seconds. All of them read at the same ticks.

Chosen by hand; not measured. A shorter interval reports changes earlier and reads the database more often.
"""

GATHER_SECONDS = 0.002
"""Pause between two consecutive reads, seconds, so that more requests share a read under load.

Chosen by hand. With a longer pause, more requests share one read, and each request waits longer. bench/README.md (load)
has the times of an earlier version, which paused before every read.
"""

MOST_KEPT = 500
"""Maximum number of runs whose JSON is cached. It bounds memory. Chosen by hand; not measured."""

T = TypeVar("T")


class CoalescedReads(Generic[T]):
    """One kind of coalesced read.

    Args:
        read: reads these runs and returns the result of each by run id; missing runs are left out. Called in a thread.
    """

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, T]]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="coalesced-read")
        self._asked: _Asked[T] = {}
        self._reading: asyncio.Task[None] | None = None

    async def at(self, run_id: str) -> T:
        """Return the run's current state. The caller checks the tenant.

        Raises:
            NotFoundError: the run does not exist.
            StorageUnavailableError: the database does not answer.
        """
        if not is_run(run_id):
            raise NotFoundError("There is no such run. GET /v1/runs lists the existing ones.")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T | None] = loop.create_future()
        self._asked.setdefault(run_id, []).append(result)
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_all())
        found = await result
        if found is None:
            raise _no_run(run_id)
        return found

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    async def _read_all(self) -> None:
        gather = 0.0
        while self._asked:
            await asyncio.sleep(gather)
            gather = GATHER_SECONDS
            asked, self._asked = self._asked, {}
            try:
                found = await self._found(list(asked))
            except Exception as error:  # noqa: BLE001 - each waiting request raises it
                for result in _pending(asked.values()):
                    result.set_exception(error)
            else:
                for run_id, results in asked.items():
                    for result in _pending([results]):
                        result.set_result(found.get(run_id))

    async def _found(self, run_ids: Sequence[str]) -> Mapping[str, T]:
        reading = asyncio.get_running_loop().run_in_executor(self._thread, self._read, run_ids)
        try:
            return await asyncio.wait_for(reading, LOCK_WAIT_SECONDS)
        except TimeoutError as error:
            raise StorageUnavailableError("The database does not answer in time. Try again.") from error


_Asked = dict[str, list[asyncio.Future[T | None]]]


def _pending(results: Iterable[list[asyncio.Future[T | None]]]) -> Iterator[asyncio.Future[T | None]]:
    """Return the futures that are not done. A future is done early if its client has disconnected."""
    return (result for several in results for result in several if not result.done())


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """A run as JSON, with its tenant and the ETag of its state."""

    tenant: str
    etag: str
    body: bytes


@dataclass(frozen=True, slots=True)
class RunReads:
    """Reads of one tenant's runs for polling, long polling and event streams. All tenants share the threads.

    Attributes:
        database: the service's database.
        stopping: set when the process stops.
        tenant: owner of the runs.
        states: reads of the states of runs.
        snapshots: reads of runs as JSON.
        streams: executor with the one thread that reads for event streams.
        kept: cached JSON of runs of all tenants, the most recently used last.
    """

    database: Database
    stopping: threading.Event
    tenant: str
    states: CoalescedReads[RunState]
    snapshots: CoalescedReads[RunSnapshot]
    streams: ThreadPoolExecutor
    kept: OrderedDict[str, RunSnapshot] = field(default_factory=OrderedDict)

    @classmethod
    def open(cls, database: Database, stopping: threading.Event, tenant: str) -> Self:
        """Create the reads and their threads, once for each process."""
        return cls(
            database,
            stopping,
            tenant,
            states=CoalescedReads(partial(_read_states, database)),
            snapshots=CoalescedReads(partial(_read_snapshots, database)),
            streams=ThreadPoolExecutor(1, thread_name_prefix="streams"),
        )

    def for_tenant(self, tenant: str) -> Self:
        """Return the same reads for another tenant."""
        return replace(self, tenant=tenant)

    def close(self) -> None:
        """End the threads."""
        self.states.close()
        self.snapshots.close()
        self.streams.shutdown(wait=False)

    async def until(self, run_id: str, met: Callable[[RunState], bool], *, seconds: float) -> RunState:
        """Wait until a condition on the run is met, the time is up, or the process is stopping.

        Args:
            run_id: the run.
            met: the condition.
            seconds: maximum time to wait.

        Returns:
            The run's last state, whether or not it meets the condition.

        Raises:
            NotFoundError: the tenant has no such run, or it has been deleted.
            StorageUnavailableError: the database does not answer.
        """
        end = time.monotonic() + seconds
        while not met(seen := await self._state_of(run_id)) and not self.stopping.is_set():
            if (left := end - time.monotonic()) <= 0:
                break
            await asyncio.sleep(min(left, TICK_SECONDS - time.monotonic() % TICK_SECONDS))
        return seen

    async def run(self, run_id: str, *, seen: RunState | None = None) -> RunSnapshot:
        """Return a tenant's run as it is now.

        If the run is not running, an equal ETag means equal JSON, so the cached JSON is reused.

        Args:
            run_id: the run.
            seen: the run's state, if it was already read for the same request; None reads it.

        Raises:
            NotFoundError: the tenant has no such run.
            StorageUnavailableError: the database does not answer.
        """
        if kept := self.kept.get(run_id):
            seen = seen or await self._state_of(run_id)
            if seen.status is not RunStatus.RUNNING and describe.etag_at(seen) == kept.etag:
                return kept
        shown = await self.snapshots.at(run_id)
        if shown.tenant != self.tenant:
            raise _no_run(run_id)
        self.kept[run_id] = shown
        self.kept.move_to_end(run_id)
        if len(self.kept) > MOST_KEPT:
            self.kept.popitem(last=False)
        return shown

    async def _state_of(self, run_id: str) -> RunState:
        seen = await self.states.at(run_id)
        if seen.tenant != self.tenant:
            raise _no_run(run_id)
        return seen


def _read_states(database: Database, run_ids: Sequence[str]) -> Mapping[str, RunState]:
    with database.reading() as session:
        return waiting.run_states(session, run_ids)


def _read_snapshots(database: Database, run_ids: Sequence[str]) -> Mapping[str, RunSnapshot]:
    with database.reading() as session:
        rows = runs.these(session, run_ids)
        shown = zip(rows, describe.describe(session, rows), strict=True)
    return {
        row.id: RunSnapshot(row.tenant, describe.etag_of(run), run.model_dump_json().encode()) for row, run in shown
    }


def _no_run(run_id: str) -> NotFoundError:
    return NotFoundError(f"There is no run {run_id}. GET /v1/runs lists the existing ones.")


Reads = Annotated[RunReads, Depends(service(RunReads))]
"""The reads of the caller's tenant."""
