"""The viewport of a film: the part of the plane that the plot shows, equal for all frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DegenerateEmbeddingsError

_QUANTILE = 0.995
"""Upper quantile of a frame without outliers; the lower one is 1 - _QUANTILE. Chosen by hand; not measured."""

_ZOOM_WORTH_CLAMPING = 1.3
"""Smallest ratio of the heights with and without outliers at which outliers are moved to the border.

Chosen by hand; not measured.
"""

_SAME = 1e-9
"""Points are equal if they differ by less than this fraction of the largest coordinate: rounding errors."""


@dataclass(frozen=True, slots=True)
class Viewport:
    """A rectangle of the layout plane.

    Attributes:
        center: x and y of the centre, in units of the layout.
        half_width: half of the width, in units of the layout, above 0.
        half_height: half of the height, in units of the layout, above 0.
    """

    center: tuple[float, float]
    half_width: float
    half_height: float

    def place(
        self, points: NDArray[np.floating], *, left: float, top: float, width: float, height: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Map points to a box of pixels. A unit has the same length in x and y, and y points upwards.

        Args:
            points: (N, 2) finite, in units of the layout.
            left: left edge of the box, pixels.
            top: upper edge of the box, pixels.
            width: width of the box, pixels.
            height: height of the box, pixels.

        Returns:
            (N, 2) x and y in pixels, inside the box or on its border; and (N,) bool, True for a point outside the
            viewport that was moved to the border along x, y or both.
        """
        scale = min(width / (2.0 * self.half_width), height / (2.0 * self.half_height))
        middle = np.array([left + width / 2.0, top + height / 2.0])
        offset = (points.astype(np.float64) - self.center) * (scale, -scale)
        limit = np.array([width / 2.0, height / 2.0])
        # A point that is outside only by rounding is not marked.
        outside = np.any(np.abs(offset) > limit * (1.0 + 1e-6), axis=1)
        return middle + np.clip(offset, -limit, limit), np.asarray(outside)


def fit_viewport(points: NDArray[np.floating], *, aspect: float = 1.0) -> Viewport:
    """Return the smallest rectangle with this aspect ratio that shows the film, robust against a few outliers.

    Normally the viewport contains all points of all frames. If this makes it more than 1.3 times as high as without
    outliers, it is the union of the ranges that contain the middle 99 % of each frame. Quantiles are taken in each
    frame, so clusters that are large in a few frames only are shown completely. `Viewport.place` moves points outside
    the viewport to its border and reports them.

    Args:
        points: (T, N, 2) finite layout, T and N at least 1.
        aspect: width / height of the plot, above 0.

    Returns:
        A viewport with half_width / half_height = aspect. If all points are equal, its half height is one unit.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """
    if not np.isfinite(points).all():
        raise DegenerateEmbeddingsError(
            "The layout contains NaN or infinite coordinates, because the embeddings were too large or NaN. "
            "Train with a lower learning rate."
        )
    points = points.astype(np.float64)
    full = _around(points.min(axis=(0, 1)), points.max(axis=(0, 1)), aspect)
    if full.half_height <= _SAME * float(np.abs(points).max()):
        return Viewport(center=full.center, half_width=aspect, half_height=1.0)
    low, high = np.quantile(points, (1.0 - _QUANTILE, _QUANTILE), axis=1)
    bulk = _around(low.min(axis=0), high.max(axis=0), aspect)
    steered = full.half_height > _ZOOM_WORTH_CLAMPING * bulk.half_height > _SAME * full.half_height
    return bulk if steered else full


def _around(low: NDArray[np.float64], high: NDArray[np.float64], aspect: float) -> Viewport:
    half_x, half_y = (float(half) for half in (high - low) / 2.0)
    half_height = max(half_y, half_x / aspect)
    center_x, center_y = (float(middle) for middle in (low + high) / 2.0)
    return Viewport(center=(center_x, center_y), half_width=half_height * aspect, half_height=half_height)
