"""The one viewport of a film: which part of the plane the plot shows, the same in every frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DegenerateEmbeddingsError

_QUANTILE = 0.995
_ZOOM_WORTH_CLAMPING = 1.3
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Viewport:
    """A rectangle of the layout plane.

    Attributes:
        center: x and y of its middle, in the layout's unit.
        half_width: half its width, in the layout's unit, above 0.
        half_height: half its height, above 0.
    """

    center: tuple[float, float]
    half_width: float
    half_height: float

    def place(
        self, points: NDArray[np.floating], *, left: float, top: float, width: float, height: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where points are in a box of pixels; one unit is equally long in x and y, and y grows upwards.

        Args:
            points: (N, 2) finite, in the layout's unit.
            left: pixels from the frame's left edge to the box.
            top: pixels from the frame's top edge to the box.
            width: of the box, in pixels.
            height: of the box, in pixels.

        Returns:
            (N, 2) x and y in pixels, all inside the box or on its border, and (N,) True where a point lies outside
            the viewport and was moved to the border, straight along x, y or both.
        """
        scale = min(width / (2.0 * self.half_width), height / (2.0 * self.half_height))
        middle = np.array([left + width / 2.0, top + height / 2.0])
        offset = (points.astype(np.float64) - self.center) * (scale, -scale)
        limit = np.array([width / 2.0, height / 2.0])
        # A point that is outside by rounding only is not worth another marker.
        outside = np.any(np.abs(offset) > limit * (1.0 + 1e-6), axis=1)
        return middle + np.clip(offset, -limit, limit), np.asarray(outside)


def fit_viewport(points: NDArray[np.floating], *, aspect: float = 1.0) -> Viewport:
    """The smallest rectangle of this aspect that shows the film, not steered by a few outliers.

    The full extent of all points over all frames is shown, unless a handful of outliers would shrink everything else
    by more than a factor of 1.3: then the viewport is the extent of the middle 99 % of each frame, joined over the
    frames. Quantiles are taken in each frame, never over the film, so that clusters that are large in a few frames
    only are still shown whole. What then lies outside is not hidden: `Viewport.place` moves it to the border and says
    which points they are, so that they can be drawn otherwise.

    Args:
        points: (T, N, 2) finite layout, T and N at least 1.
        aspect: width / height of the plot, above 0.

    Returns:
        A viewport with half_width / half_height = aspect. Where all points are one, it is one unit around them.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """
    if not np.isfinite(points).all():
        raise DegenerateEmbeddingsError(
            "The layout holds coordinates that are not finite: the embeddings were too large or not numbers. "
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
