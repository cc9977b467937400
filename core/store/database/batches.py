"""Long lists split into batches, because a database statement has a limited number of parameters."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Value = TypeVar("Value")

BATCH_SIZE = 500
"""A choice below SQLite's former limit of 999 parameters in a statement. A smaller batch needs more statements."""


def batches(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Yield the values in order, at most BATCH_SIZE at a time.

    >>> [len(batch) for batch in batches(range(1200))]
    [500, 500, 200]
    """
    remaining = iter(values)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch
