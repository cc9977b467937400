"""Readiness of the service. One check of the database and the store serves all requests of a second.

`/readyz` needs no key and has no rate limit. The cache keeps its cost constant, however often clients request it. The
check has its own thread, so it responds even while all other threads are busy.
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
"""Maximum age of a cached result, seconds. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The database and the store answer.

    Attributes:
        workers: number of live workers.
        queues: names of the queues that these workers serve, sorted.
    """

    workers: int
    queues: tuple[str, ...]


class Readiness:
    """Checks the database and the store, one check at a time. Results and errors are cached for KEPT_SECONDS."""

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
        """Return the result of a check that is at most KEPT_SECONDS old.

        Raises:
            StorageUnavailableError: the database or the store does not answer.
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
