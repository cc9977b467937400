"""Joint alignment of the layouts of several runs, for films side by side. All runs have the same points."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from core.domain.arrays import FloatArray

_COLLAPSED = 1e-3
"""A last frame counts as a single point if its size, relative to the largest coordinate of the run, is at most this.
Division by a smaller size would enlarge all other frames too much. Chosen by hand; not measured."""


def in_one_frame(layouts: Sequence[FloatArray]) -> list[FloatArray]:
    """Shift, scale and rotate the layout of each run as a whole, so that the last frames of all runs agree.

    For each run:

    1. The mean of the last frame becomes the origin.
    2. The root mean square distance of the last frame from the origin becomes 1. If the last frame is a single point,
       the largest coordinate of all frames becomes 1.
    3. R rotates or reflects the run. R is the orthogonal matrix that minimises ||Y R - Y_first||, where Y and Y_first
       are the last frames of this run and of the first run.

    All frames of a run get the same transformation, so motion within a run is unchanged up to scale. Each run has its
    own scale, because the features of two models have no common unit.

    Args:
        layouts: one array (T, N, 2) per run, finite. N is the same for all runs; T may differ.

    Returns:
        Arrays of the same shapes, float32.

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
