"""Frames turned or mirrored onto their reference, never scaled, so that sizes can be compared over time."""

import math

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

TRIM_ROUNDS = 5


def fit(frame: NDArray[np.float64], reference: NDArray[np.float64], trim: float) -> NDArray[np.float64]:
    """(N, 2), shifted and turned by the orthogonal R that minimises ||Y R - Y_ref||.

    The share `trim` of the points that fit worst have no say in centre and rotation (least trimmed squares, found by
    fitting and leaving out in turn): a few points that cross the picture do not turn all others.

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
