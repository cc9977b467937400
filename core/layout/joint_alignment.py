"""Several runs' layouts of the same points in one frame, so that they can be watched side by side."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from core.domain.arrays import FloatArray

_COLLAPSED = 1e-3
"""A last frame that is so much smaller than the largest one is a point: it would blow up all the others."""


def in_one_frame(layouts: Sequence[FloatArray]) -> list[FloatArray]:
    """Shift, scale and turn each run's layout as a whole, so that all end alike.

    Each run's last frame is centred, its root mean square distance from the centre becomes 1 (the largest coordinate of
    all its frames, where it ends in a point), and it is turned or
    mirrored by the orthogonal R that minimises ||Y R - Y_first||. All its frames are moved by the same: what moves in a
    run moves as in its own film. The scale is each run's own, since features of two models have no unit in common.

    Args:
        layouts: (T, N, 2) each, finite; N is the same for all, T need not be.

    Returns:
        The same shapes, float32.

    References:
        Schoenemann: A generalized solution of the orthogonal Procrustes problem. doi:10.1007/BF02289451.
    """
    moved: list[FloatArray] = []
    for layout in layouts:
        points = layout.astype(np.float64)
        points -= points[-1].mean(axis=0)
        size, largest = np.sqrt(np.square(points[-1]).sum(axis=1).mean()), np.abs(points).max(initial=0.0)
        points /= size if size > _COLLAPSED * largest else largest or 1.0
        if moved:
            rotation, _ = scipy.linalg.orthogonal_procrustes(points[-1], moved[0][-1].astype(np.float64))
            points = points @ rotation
        moved.append(points.astype(np.float32))
    return moved
