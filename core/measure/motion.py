"""Agreement between the movement of points in the layout and their movement in the representation.

dX and dY are the distances that each point moves between successive frames: dX in the representation, dY in the layout.
T frames, M points, D features.
"""

import math
from typing import TypeAlias

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Steps: TypeAlias = NDArray[np.floating]
"""Distances between successive frames, (T - 1, M), at least 0."""


def step_lengths(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """Euclidean distance that each point moves between successive frames.

    Args:
        frames: (T, M, D), the same points in each frame.

    Returns:
        (T - 1, M) float64, in the unit of `frames`.
    """
    lengths: NDArray[np.float64] = np.linalg.norm(np.diff(frames.astype(np.float64), axis=0), axis=2)
    return lengths


def movement(before: NDArray[np.floating], after: NDArray[np.floating]) -> float:
    """Root mean square movement of points, relative to their spread.

    sqrt(sum_i ||x_i' - x_i||^2 / max(sum_i ||x_i||^2, sum_i ||x_i'||^2)). x and x' are centred on their own means.

    Args:
        before: (M, D).
        after: (M, D), the same points later.

    Returns:
        0 to 2. Higher = more movement. 0 if all points coincide in both arrays.

    >>> movement(np.array([[0, 0], [2, 0]], np.float32), np.array([[5, 1], [5, 3]], np.float32)).__round__(3)
    1.414
    """
    first, second = (points.astype(np.float64) - points.mean(axis=0, dtype=np.float64) for points in (before, after))
    spread = max(float((first**2).sum()), float((second**2).sum()))
    return math.sqrt(float(((second - first) ** 2).sum()) / spread) if spread > 0 else 0.0


def pearson(one: Steps, other: Steps) -> float:
    """Pearson correlation of two arrays over all their elements.

    Args:
        one: (T - 1, M).
        other: same shape.

    Returns:
        -1..1. 0 if one of the arrays is constant.

    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    """
    first, second = (values.astype(np.float64).ravel() - values.mean(dtype=np.float64) for values in (one, other))
    scale = np.sqrt(first @ first) * np.sqrt(second @ second)
    return float(np.clip(first @ second / scale, -1, 1)) if scale > 0 else 0.0


def spearman(one: Steps, other: Steps) -> float:
    """Spearman rank correlation of two arrays over all their elements. Ties share their mean rank.

    Args:
        one: (T - 1, M).
        other: same shape.

    Returns:
        -1..1. 0 if one of the arrays is constant.
    """
    return pearson(scipy.stats.rankdata(one), scipy.stats.rankdata(other))


def temporal_stress(steps: Steps, shown: Steps) -> float:
    """Temporal stress: squared difference of the relative movements in the representation and in the layout.

    sum (dX / max dX - dY / max dY)^2 / sum (dX / max dX)^2.

    Args:
        steps: (T - 1, M), dX.
        shown: (T - 1, M), dY.

    Returns:
        At least 0; 0 is best. 0 if no point moves in either. Infinite if points move in the layout only.

    References:
        Vernier et al.: Quantitative evaluation of time-dependent multidimensional projection techniques.
            arXiv:2002.07481.
    """
    relative, seen = _relative(steps), _relative(shown)
    total = float((relative**2).sum())
    difference = float(((relative - seen) ** 2).sum())
    if total == 0:
        return 0.0 if difference == 0 else np.inf
    return difference / total


def residual_rotation(points: NDArray[np.floating]) -> float:
    """Movement of the layout, relative to the movement that remains after the best rotation of each frame.

    sum_t ||Y_t - Y_t+1||^2 / sum_t min_R ||Y_t - Y_t+1 R||^2, R orthogonal. Each pair of successive frames has its own
    R. Reflections are allowed.

    Args:
        points: (T, M, 2), the layout.

    Returns:
        At least 1; 1 is best: no rotation is left. 1 if no point moves.
    """
    doubles = points.astype(np.float64)
    before, after = doubles[:-1], doubles[1:]
    moved = float(((before - after) ** 2).sum())
    products = np.einsum("tma,tmb->tab", before, after)
    turned = float((before**2).sum() + (after**2).sum() - 2 * np.linalg.svd(products, compute_uv=False).sum())
    scale = float((doubles**2).sum()) * np.finfo(np.float64).eps * 10
    if moved <= scale:
        return 1.0
    return max(1.0, moved / max(turned, scale))


def jitter(first_differences: Steps, second_differences: Steps) -> float:
    """Change of the movement over time: sum ||second differences|| / sum ||first differences||.

    The quality card divides the jitter of the layout by the jitter of the representation. A ratio above 1 means that
    the layout has more jitter than the representation.

    Args:
        first_differences: (T - 1, M), lengths of the first differences over time.
        second_differences: (T - 2, M), lengths of the second differences over time.

    Returns:
        0 to 2. 0: every point moves in a straight line at constant speed, or no point moves. Near 2: every point moves
        back and forth.
    """
    moved = float(first_differences.sum())
    return float(second_differences.sum()) / moved if moved > 0 else 0.0


def _relative(steps: Steps) -> NDArray[np.float64]:
    longest = float(steps.max(initial=0.0))
    return steps.astype(np.float64) / longest if longest > 0 else np.zeros(steps.shape)
