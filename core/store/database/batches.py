"""Long lists for the database, in batches: a statement takes a limited number of parameters."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Value = TypeVar("Value")

BATCH_SIZE = 500


def batches(values: Iterable[Value]) -> Iterator[list[Value]]:
    """The values in order, at most BATCH_SIZE at a time.

    >>> [len(batch) for batch in batches(range(1200))]
    [500, 500, 200]
    """
    remaining = iter(values)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch
