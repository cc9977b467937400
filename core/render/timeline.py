"""Time in a film: at a checkpoint, or between two checkpoints. Positions are interpolated, measured values are not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts

TRAIL_FRAMES = 12
"""Number of checkpoints in a trail. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class FilmTime:
    """A point in time of the film.

    Attributes:
        index: the latest checkpoint at or before this time.
        following: the checkpoint after `index`; `index` itself at the end of the film.
        fraction: fraction of the way from `index` to `following`, 0..1.
    """

    index: int
    following: int
    fraction: float

    @classmethod
    def at(cls, position: float, n_frames: int) -> "FilmTime":
        """Create the time at a position.

        Args:
            position: 0 to `n_frames` - 1; whole numbers are checkpoints.
            n_frames: number of checkpoints, at least 1.

        Returns:
            The point in time.

        >>> FilmTime.at(1.25, 4), FilmTime.at(3, 4)
        (FilmTime(index=1, following=2, fraction=0.25), FilmTime(index=3, following=3, fraction=0.0))
        """
        index = min(int(position), n_frames - 1)
        return cls(index, min(index + 1, n_frames - 1), float(position - index))

    @property
    def nearest(self) -> int:
        """The nearest checkpoint; `following` at exactly half the way."""
        return self.index if self.fraction < 0.5 else self.following  # noqa: PLR2004 - half-way

    def between(self, values: NDArray[Any]) -> NDArray[Any]:
        """Interpolate positions linearly. For measured values, use the value at `index` instead.

        Args:
            values: (T, ...) positions at the checkpoints.

        Returns:
            (...) positions at this time.
        """
        if not self.fraction:
            return np.asarray(values[self.index])
        before, after = (np.asarray(values[at]) for at in (self.index, self.following))
        return np.asarray(before + (after - before) * self.fraction)

    def trails(self, points: NDArray[np.floating], rows: Iterable[int]) -> dict[int, NDArray[np.floating]]:
        """Collect the latest positions of chosen points.

        Args:
            points: (T, N, 2) positions at the checkpoints.
            rows: rows of the chosen points.

        Returns:
            For each row (M, 2) positions at the last M - 1 <= 12 checkpoints and at this time, oldest first.
        """
        before, now = points[max(0, self.index + 1 - TRAIL_FRAMES) : self.index + 1], self.between(points)
        return {row: np.concatenate([before[:, row], now[[row]]]) for row in rows}

    def facts(self, embedded: Sequence[FrameFacts]) -> FrameFacts:
        """Interpolate step and epoch; take loss, accuracy and predictions from the checkpoint `index`."""
        before, after = embedded[self.index], embedded[self.following]
        return FrameFacts(
            step=round(before.step + (after.step - before.step) * self.fraction),
            epoch=before.epoch + (after.epoch - before.epoch) * self.fraction,
            loss=before.loss,
            accuracy=before.accuracy,
            predictions=before.predictions,
        )


def positions(n_frames: int, tween: int) -> Iterator[tuple[int | None, float]]:
    """List the pictures of a film.

    Args:
        n_frames: number of checkpoints.
        tween: pictures between two checkpoints.

    Yields:
        For each picture its checkpoint (None between two checkpoints), and its position from 0 to `n_frames` - 1.

    >>> list(positions(2, 1))
    [(0, 0.0), (None, 0.5), (1, 1.0)]
    """
    for index in range(n_frames):
        yield index, float(index)
        for step in range(tween if index < n_frames - 1 else 0):
            yield None, index + ease((step + 1) / (tween + 1))


def ease(fraction: float) -> float:
    """Ease in and out with the smoothstep polynomial: 3 s^2 - 2 s^3.

    Args:
        fraction: s, fraction of the time between two checkpoints, 0..1.

    Returns:
        Fraction of the way, 0..1.

    >>> ease(0.0), ease(0.5), ease(1.0)
    (0.0, 0.5, 1.0)
    """
    return fraction * fraction * (3 - 2 * fraction)
