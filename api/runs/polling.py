"""Reads that many clients ask for all the time: all that ask at once share one look at the database.

A look begins after it was asked for, so nobody is told less than was true then. Each kind of look has a thread of its
own: it waits neither for uploads nor for writers, and a hundred pollers cost little more than one.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from api.http.ids import is_run
from api.runs import describe
from core.domain.run import RunStatus
from core.errors import NotFoundError, StorageUnavailableError
from core.store.database.session import LOCK_WAIT_SECONDS, Database
from core.store.queries import runs, waiting
from core.store.queries.waiting import RunState

TICK_SECONDS = 0.25
"""Who waits for a change looks this often, all at the same moment."""

GATHER_SECONDS = 0.002
"""Where one look follows another, a pause between: under load, more come together, and one costs less than many."""

MOST_KEPT = 500
"""Runs whose JSON is kept."""

T = TypeVar("T")


class CoalescedReads(Generic[T]):
    """One kind of look.

    Args:
        read: answers for these runs, those that are not there left out; called in a thread.
    """

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, T]]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._asked: _Asked[T] = {}
        self._reading: asyncio.Task[None] | None = None

    async def at(self, run_id: str) -> T:
        """The run as it is now, whosever it is.

        Raises:
            NotFoundError: there is no such run.
            StorageUnavailableError: the database does not answer.
        """
        if not is_run(run_id):
            raise NotFoundError("There is no such run. GET /v1/runs lists those there are.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T | None] = loop.create_future()
        self._asked.setdefault(run_id, []).append(answer)
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_all())
        found = await answer
        if found is None:
            raise _no_run(run_id)
        return found

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False)

    async def _read_all(self) -> None:
        gather = 0.0
        while self._asked:
            await asyncio.sleep(gather)
            gather = GATHER_SECONDS
            asked, self._asked = self._asked, {}
            try:
                found = await self._found(list(asked))
            except Exception as error:  # noqa: BLE001 - it is raised where the look was asked for
                for answer in _unanswered(asked.values()):
                    answer.set_exception(error)
            else:
                for run_id, answers in asked.items():
                    for answer in _unanswered([answers]):
                        answer.set_result(found.get(run_id))

    async def _found(self, run_ids: Sequence[str]) -> Mapping[str, T]:
        reading = asyncio.get_running_loop().run_in_executor(self._thread, self._read, run_ids)
        try:
            return await asyncio.wait_for(reading, LOCK_WAIT_SECONDS)
        except TimeoutError as error:
            raise StorageUnavailableError("The database does not answer in time. Try again.") from error


_Asked = dict[str, list[asyncio.Future[T | None]]]


def _unanswered(answers: Iterable[list[asyncio.Future[T | None]]]) -> Iterator[asyncio.Future[T | None]]:
    """Those that somebody still waits for: a client may have gone."""
    return (answer for several in answers for answer in several if not answer.done())


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """A run as JSON, whose it is, and the tag of that state."""

    tenant: str
    etag: str
    body: bytes


class RunReads:
    """What is looked at.

    Attributes:
        streams: the thread in which event streams read.
    """

    def __init__(self, database: Database, stopping: threading.Event) -> None:
        self._database = database
        self._stopping = stopping
        self._states = CoalescedReads(self._read_states)
        self._runs = CoalescedReads(self._show)
        self._kept: OrderedDict[str, RunSnapshot] = OrderedDict()
        self.streams = ThreadPoolExecutor(1, thread_name_prefix="streams")

    def close(self) -> None:
        """End."""
        self._states.close()
        self._runs.close()
        self.streams.shutdown(wait=False)

    async def until(self, run_id: str, met: Callable[[RunState], bool], *, tenant: str, seconds: float) -> RunState:
        """Wait until this is true of the run, but only so long, and not when the process is asked to end.

        Raises:
            NotFoundError: there is no such run, or not any more.
            StorageUnavailableError: the database does not answer.
        """
        end = time.monotonic() + seconds
        while not met(seen := await self._state_of(run_id, tenant)) and not self._stopping.is_set():
            if (left := end - time.monotonic()) <= 0:
                break
            await asyncio.sleep(min(left, TICK_SECONDS - time.monotonic() % TICK_SECONDS))
        return seen

    async def run(self, run_id: str, *, tenant: str, seen: RunState | None = None) -> RunSnapshot:
        """A run of a tenant as it is now. Raises what `until` raises.

        While a run does not run, its tag says all that its JSON depends on, and the JSON is made once.

        Args:
            seen: what a glance for the same request has shown; it need not be looked at once more.
        """
        if kept := self._kept.get(run_id):
            seen = seen or await self._state_of(run_id, tenant)
            if seen.status is not RunStatus.RUNNING and describe.etag_at(seen) == kept.etag:
                return kept
        shown = await self._runs.at(run_id)
        if shown.tenant != tenant:
            raise _no_run(run_id)
        self._kept[run_id] = shown
        self._kept.move_to_end(run_id)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return shown

    async def _state_of(self, run_id: str, tenant: str) -> RunState:
        seen = await self._states.at(run_id)
        if seen.tenant != tenant:
            raise _no_run(run_id)
        return seen

    def _read_states(self, run_ids: Sequence[str]) -> Mapping[str, RunState]:
        with self._database.reading() as session:
            return waiting.run_states(session, run_ids)

    def _show(self, run_ids: Sequence[str]) -> Mapping[str, RunSnapshot]:
        with self._database.reading() as session:
            rows = runs.these(session, run_ids)
            shown = zip(rows, describe.describe(session, rows), strict=True)
        return {
            row.id: RunSnapshot(row.tenant, describe.etag_of(run), run.model_dump_json().encode()) for row, run in shown
        }


def _no_run(run_id: str) -> NotFoundError:
    return NotFoundError(f"There is no run {run_id}. GET /v1/runs lists those there are.")
