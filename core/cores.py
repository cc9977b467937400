"""Numeric work side by side: a thread a core, each of which computes alone."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from threadpoolctl import threadpool_limits

Given = TypeVar("Given")
Made = TypeVar("Made")


class Each(Protocol):
    """`map`, several calls at a time."""

    def __call__(self, work: Callable[[Given], Made], given: Iterable[Given], /) -> list[Made]:
        """What `work` makes of each, in order; the first error is raised when all have ended."""


@contextmanager
def side_by_side(most: int) -> Iterator[Each]:
    """Until the end of the block, up to `most` calls at a time on as many cores as this process may use.

    BLAS and LAPACK keep to one thread meanwhile: only large products gain from sharing a core's work with another, and
    small decompositions lose by it.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(available(), most)) as pool:
        yield lambda work, given: list(pool.map(work, given))


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
