"""Iteration over the frames of a film, in order, with a few frames processed in parallel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, repeat
from typing import Protocol, TypeAlias, TypeVar

from core.cores import side_by_side
from core.domain.arrays import FloatArray
from core.errors import DegenerateEmbeddingsError

ABREAST = 4
"""Number of frames that are held and processed at a time. The number is the same on every machine, because the frames
of one batch start from the same axes, and results must not depend on the machine. Chosen by hand; not measured."""

Made = TypeVar("Made")


class Frames(Protocol):
    """Embeddings of all checkpoints, (N, D) float32 each. They can be read more than once."""

    def __len__(self) -> int:
        """Number of frames T."""

    def __iter__(self) -> Iterator[FloatArray]:
        """Iterate over the frames in order."""

    def __getitem__(self, index: int, /) -> FloatArray:
        """Return one frame; an index below 0 counts from the end."""


ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the number of frames done and the total number of frames, both summed over all passes."""


def of_each(frames: Frames, work: Callable[[int, FloatArray], Made]) -> Iterator[Made]:
    """Apply `work` to each frame, and yield the results in order.

    The first frame is processed alone. The other frames are processed in batches of ABREAST, in parallel. A caller that
    keeps each yielded result can therefore start a batch from the results of earlier batches.

    Args:
        frames: T arrays (N, D) float32.
        work: called with the index of a frame and its embeddings.
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
    """Add the index of the frame to the message of a DegenerateEmbeddingsError that is raised inside."""
    try:
        yield
    except DegenerateEmbeddingsError as error:
        raise DegenerateEmbeddingsError(f"Frame {index}: {error.detail}") from error
