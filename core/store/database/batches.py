"""Long lists for the database, in portions: a statement takes only so many parameters."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Value = TypeVar("Value")

PORTION = 500


def batches(values: Iterable[Value]) -> Iterator[list[Value]]:
    """The values in order, at most PORTION at a time.

    >>> [len(portion) for portion in portions(range(1200))]
    [500, 500, 200]
    """
    remaining = iter(values)
    while batch := list(islice(remaining, PORTION)):
        yield batch
