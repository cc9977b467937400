"""Parallel numeric work: one thread for each core, with single-threaded BLAS in each thread."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from threadpoolctl import threadpool_limits

Given = TypeVar("Given")
Made = TypeVar("Made")


class Each(Protocol):
    """A parallel `map`."""

    def __call__(self, work: Callable[[Given], Made], given: Iterable[Given], /) -> list[Made]:
        """Return the results of `work` in order. The first error is raised after all calls have ended."""


@contextmanager
def side_by_side(most: int) -> Iterator[Each]:
    """Provide a parallel `map` until the end of the block.

    BLAS and LAPACK use one thread during the block. Only large matrix products gain from several BLAS threads. Small
    decompositions become slower.

    Args:
        most: upper limit of concurrent calls. The number of available cores is another limit.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(available(), most)) as pool:
        yield lambda work, given: list(pool.map(work, given))


@contextmanager
def in_background(work: Callable[[], Made]) -> Iterator[Callable[[], Made]]:
    """Run `work` in another thread during the block. Every numeric library uses one thread during the block.

    Args:
        work: called once.

    Yields:
        A function that waits for the result of `work` and returns it.
    """
    with threadpool_limits(1), ThreadPoolExecutor(1) as pool:
        yield pool.submit(work).result


def available() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
