"""The frames of a film, gone through in order, a few of them side by side."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, repeat
from typing import Protocol, TypeAlias, TypeVar

from core.cores import side_by_side
from core.domain.arrays import FloatArray
from core.errors import DegenerateEmbeddingsError

ABREAST = 4
"""Frames that are held, and worked on, at a time: the same on every machine, for they begin with the same axes."""

Made = TypeVar("Made")


class Frames(Protocol):
    """The embeddings of all checkpoints, (N, D) each, that may be gone through more than once."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[FloatArray]:
        """One at a time."""


ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the number of frames done and the number to be done, over all passes."""


def of_each(frames: Frames, work: Callable[[int, FloatArray], Made]) -> Iterator[Made]:
    """What `work` makes of each frame and its number, in order.

    The first frame is worked on alone, then always ABREAST side by side: what has been made of earlier ones, if it is
    kept as it comes, can be begun with.
    """
    numbered = enumerate(frames)
    with side_by_side(ABREAST) as each:
        for count in chain([1], repeat(ABREAST)):
            made = each(lambda frame: work(*frame), islice(numbered, count))
            if not made:
                break
            yield from made


@contextmanager
def naming_frame(index: int) -> Iterator[None]:
    """Let an error that is raised inside say of which frame it is."""
    try:
        yield
    except DegenerateEmbeddingsError as error:
        raise DegenerateEmbeddingsError(f"Frame {index}: {error.detail}") from error
