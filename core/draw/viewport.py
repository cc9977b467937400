"""The viewport of a film: the rectangle of the layout plane that the plot shows, the same in all frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DegenerateEmbeddingsError

_QUANTILE = 0.995
"""Upper quantile of the reduced viewport; the lower quantile is 1 - 0.995. Chosen by hand; not measured."""
_ZOOM_WORTH_CLAMPING = 1.3
"""Minimum magnification for which points are moved to the border. Chosen by hand; not measured."""
_SAME = 1e-9
"""An extent below this fraction of the coordinates is a rounding error, not an extent."""


@dataclass(frozen=True, slots=True)
class Viewport:
    """A rectangle of the layout plane.

    Attributes:
        center: x and y of the centre, in the layout's unit.
        half_width: half of the width, in the layout's unit, above 0.
        half_height: half of the height, in the layout's unit, above 0.
    """

    center: tuple[float, float]
    half_width: float
    half_height: float

    def place(
        self, points: NDArray[np.floating], *, left: float, top: float, width: float, height: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Convert layout coordinates to pixels in a box. Both axes have the same scale; y of the layout points upwards.

        Args:
            points: (N, 2) finite, in the layout's unit.
            left: left edge of the box in the frame, pixels.
            top: upper edge of the box in the frame, pixels.
            width: width of the box, pixels.
            height: height of the box, pixels.

        Returns:
            (N, 2) float64 x and y in pixels, inside the box or on its border; and (N,) bool, True for points outside
            the viewport. These are moved to the border: x and y are clipped separately.
        """
        scale = min(width / (2.0 * self.half_width), height / (2.0 * self.half_height))
        middle = np.array([left + width / 2.0, top + height / 2.0])
        offset = (points.astype(np.float64) - self.center) * (scale, -scale)
        limit = np.array([width / 2.0, height / 2.0])
        # The tolerance keeps points whose offset exceeds the limit by a rounding error inside.
        outside = np.any(np.abs(offset) > limit * (1.0 + 1e-6), axis=1)
        return middle + np.clip(offset, -limit, limit), np.asarray(outside)


def fit_viewport(points: NDArray[np.floating], *, aspect: float = 1.0) -> Viewport:
    """Compute the viewport of a film; a few outliers do not determine its size.

    The full viewport is the smallest rectangle of the aspect around all points of all frames. The reduced viewport is
    the smallest rectangle around the 0.5 % and 99.5 % quantiles of x and y of each frame. The reduced viewport is used
    if the full viewport is more than 1.3 times as large. Quantiles are computed in each frame, not over the film:
    clusters that are large in a few frames only remain inside. Points outside the reduced viewport are not hidden:
    `Viewport.place` moves them to the border and reports them.

    Args:
        points: (T, N, 2) finite layout, T and N at least 1.
        aspect: width / height of the plot, above 0.

    Returns:
        A viewport with half_width / half_height = aspect. If all points coincide, half_height is 1.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """
    if not np.isfinite(points).all():
        raise DegenerateEmbeddingsError(
            "The layout has coordinates that are not finite, because the embeddings were too large or not numbers. "
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
