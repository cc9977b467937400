"""Rigid alignment: shift, rotation and reflection without scaling, so that sizes are comparable over time."""

import math

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

TRIM_ROUNDS = 5
"""Largest number of iterations of least trimmed squares. Chosen by hand; not measured."""


def fit(frame: NDArray[np.float64], reference: NDArray[np.float64], trim: float) -> NDArray[np.float64]:
    """Shift a frame and rotate or reflect it by the orthogonal R that minimises ||Y R - Y_ref||.

    Y and Y_ref are centred. The fit ignores the fraction `trim` of the points with the largest residuals (least trimmed
    squares). Each iteration fits, then selects the points with the smallest residuals for the next fit. A few points
    that move across the whole frame therefore do not rotate the other points.

    Args:
        frame: Y, (N, 2).
        reference: Y_ref, (N, 2), the same points.
        trim: fraction of the points that the fit ignores, 0 to 0.5.

    Returns:
        (N, 2), all points of the frame, aligned.

    References:
        Schoenemann: A generalized solution of the orthogonal Procrustes problem. doi:10.1007/BF02289451.
        Rousseeuw: Least median of squares regression (trimmed squares). doi:10.1080/01621459.1984.10477105.
    """
    kept = np.ones(len(frame), dtype=bool)
    for _ in range(TRIM_ROUNDS if trim else 1):
        middle, there = frame[kept].mean(axis=0), reference[kept].mean(axis=0)
        rotation, _ = scipy.linalg.orthogonal_procrustes(frame[kept] - middle, reference[kept] - there)
        turned: NDArray[np.float64] = (frame - middle) @ rotation + there
        misfit = np.einsum("nd,nd->n", turned - reference, turned - reference)
        now_kept = np.zeros(len(frame), dtype=bool)
        now_kept[np.argsort(misfit, kind="stable")[: max(2, math.ceil(len(frame) * (1 - trim)))]] = True
        if (now_kept == kept).all():
            break
        kept = now_kept
    return turned
