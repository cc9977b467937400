"""Whether runs can be accepted: one look at database and store answers all who ask within a second.

`/readyz` is open to everybody and counted for nobody, so however often it is asked, it costs the same. It has a thread
of its own: it answers also while all other threads are busy.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync

from core.errors import StorageUnavailableError
from core.store.database.session import Database
from core.store.objects.artifacts import ArtifactStore
from core.store.queries import workers

KEPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ready:
    """Database and store answer; `queues` are those that the `workers` that are alive serve, sorted."""

    workers: int
    queues: tuple[str, ...]


class Readiness:
    """Asks database and store, one request at a time, and keeps the answer, also where it is an error."""

    def __init__(
        self, database: Database, store: ArtifactStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._turn = anyio.Lock()
        self._threads = anyio.CapacityLimiter(1)
        self._answer: Ready | StorageUnavailableError | None = None
        self._kept_until = 0.0

    async def read(self) -> Ready:
        """The answer, at most a second old.

        Raises:
            StorageUnavailableError: database or store does not answer.
        """
        async with self._turn:
            if self._answer is None or self._clock() >= self._kept_until:
                self._answer = await run_sync(self._read_all, limiter=self._threads)
                self._kept_until = self._clock() + KEPT_SECONDS
            answer = self._answer
        if isinstance(answer, StorageUnavailableError):
            raise type(answer)(answer.detail)
        return answer

    def _read_all(self) -> Ready | StorageUnavailableError:
        try:
            with self._database.reading() as session:
                alive = workers.alive(session)
            self._store.prepare()
        except StorageUnavailableError as error:
            return error
        return Ready(len(alive), tuple(sorted({queue for worker in alive for queue in worker.queues})))
