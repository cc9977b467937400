"""Points in time of a film: at a checkpoint, or between two."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts

TRAIL_FRAMES = 12
"""A trail goes back so many checkpoints."""


@dataclass(frozen=True, slots=True)
class FilmTime:
    """A point in time of the film.

    Attributes:
        index: the checkpoint that was passed last.
        following: the one after it, or the same at the film's end.
        share: of the way between them, 0..1.
    """

    index: int
    following: int
    share: float

    @classmethod
    def at(cls, position: float, n_frames: int) -> "FilmTime":
        """The time at a place between 0 and `n_frames` - 1.

        >>> FilmTime.at(1.25, 4), FilmTime.at(3, 4)
        (FilmTime(index=1, following=2, share=0.25), FilmTime(index=3, following=3, share=0.0))
        """
        index = min(int(position), n_frames - 1)
        return cls(index, min(index + 1, n_frames - 1), float(position - index))

    @property
    def nearest(self) -> int:
        """The checkpoint that is less than half the way off."""
        return self.index if self.share < 0.5 else self.following  # noqa: PLR2004 - half-way

    def between(self, values: NDArray[Any]) -> NDArray[Any]:
        """Where (T, ...) positions are at this moment. A measured number is not between two: take that of `index`."""
        if not self.share:
            return np.asarray(values[self.index])
        before, after = (np.asarray(values[at]) for at in (self.index, self.following))
        return np.asarray(before + (after - before) * self.share)

    def trails(self, points: NDArray[np.floating], rows: Iterable[int]) -> dict[int, NDArray[np.floating]]:
        """By row of (T, N, 2) points, (M, 2) where it was at the last checkpoints, ending where it is."""
        before, now = points[max(0, self.index + 1 - TRAIL_FRAMES) : self.index + 1], self.between(points)
        return {row: np.concatenate([before[:, row], now[[row]]]) for row in rows}

    def facts(self, embedded: Sequence[FrameFacts]) -> FrameFacts:
        """Step and epoch go on; loss, accuracy and predictions are as they were measured at the last checkpoint."""
        before, after = embedded[self.index], embedded[self.following]
        return FrameFacts(
            step=round(before.step + (after.step - before.step) * self.share),
            epoch=before.epoch + (after.epoch - before.epoch) * self.share,
            loss=before.loss,
            accuracy=before.accuracy,
            predictions=before.predictions,
        )


def positions(n_frames: int, tween: int) -> Iterator[tuple[int | None, float]]:
    """Each picture of a film: the number of its frame, None between two frames, and its place, 0 to `n_frames` - 1.

    >>> list(positions(2, 1))
    [(0, 0.0), (None, 0.5), (1, 1.0)]
    """
    for index in range(n_frames):
        yield index, float(index)
        for step in range(tween if index < n_frames - 1 else 0):
            yield None, index + ease((step + 1) / (tween + 1))


def ease(share: float) -> float:
    """Slow at both ends: 3 s^2 - 2 s^3.

    >>> ease(0.0), ease(0.5), ease(1.0)
    (0.0, 0.5, 1.0)
    """
    return share * share * (3 - 2 * share)
