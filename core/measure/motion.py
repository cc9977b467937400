"""Whether what moves on the screen has moved in the representation, and how calmly.

All of it from steps: how far each point moves between neighbouring frames, dX in the representation, dY in the layout.
"""

import math
from typing import TypeAlias

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Steps: TypeAlias = NDArray[np.floating]
"""(T - 1, M), at least 0."""


def step_lengths(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T, M, D) to (T - 1, M): how far each point moves from frame to frame."""
    lengths: NDArray[np.float64] = np.linalg.norm(np.diff(frames.astype(np.float64), axis=0), axis=2)
    return lengths


def movement(before: NDArray[np.floating], after: NDArray[np.floating]) -> float:
    """How far points have moved, in units of how far they lie apart.

    sqrt(sum ||x_i' - x_i||^2 / the larger of sum ||x_i||^2 and sum ||x_i'||^2), both around their own means; 0 where
    all points are the same.

    Args:
        before: (M, D).
        after: (M, D), the same points.

    >>> movement(np.array([[0, 0], [2, 0]], np.float32), np.array([[5, 1], [5, 3]], np.float32)).__round__(3)
    1.414
    """
    first, second = (points.astype(np.float64) - points.mean(axis=0, dtype=np.float64) for points in (before, after))
    spread = max(float((first**2).sum()), float((second**2).sum()))
    return math.sqrt(float(((second - first) ** 2).sum()) / spread) if spread > 0 else 0.0


def pearson(one: Steps, other: Steps) -> float:
    """Correlation of two arrays of one shape, -1..1; 0 where one of them does not vary.

    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    """
    first, second = (values.astype(np.float64).ravel() - values.mean(dtype=np.float64) for values in (one, other))
    scale = np.sqrt(first @ first) * np.sqrt(second @ second)
    return float(np.clip(first @ second / scale, -1, 1)) if scale > 0 else 0.0


def spearman(one: Steps, other: Steps) -> float:
    """Correlation of the ranks, ties sharing theirs, -1..1; 0 where one of them does not vary."""
    return pearson(scipy.stats.rankdata(one), scipy.stats.rankdata(other))


def temporal_stress(steps: Steps, shown: Steps) -> float:
    """How far the steps, each kind relative to its longest, differ; 0 is best.

    sum (dX / max dX - dY / max dY)^2 / sum (dX / max dX)^2; 0 where nothing moves in either.

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
    """How much more the frames move than if each were turned or mirrored onto the next one; 1 is best, and least.

    sum ||Y_t - Y_t+1||^2 / min_R sum ||Y_t - Y_t+1 R||^2, R orthogonal; 1 where nothing moves.

    Args:
        points: (T, M, 2).
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
    """How much steps change from one to the next: sum ||second differences|| / sum ||first differences||.

    0: every point goes straight on at its own speed; 2: every point goes to and fro; 0 where nothing moves. Divide that
    of the layout by that of the representation: above 1, the layout trembles more than what it shows.

    Args:
        first_differences: (T - 1, M) lengths of first differences.
        second_differences: (T - 2, M) lengths of second differences.
    """
    moved = float(first_differences.sum())
    return float(second_differences.sum()) / moved if moved > 0 else 0.0


def _relative(steps: Steps) -> NDArray[np.float64]:
    longest = float(steps.max(initial=0.0))
    return steps.astype(np.float64) / longest if longest > 0 else np.zeros(steps.shape)
