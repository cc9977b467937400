"""Keep the frames of a film still against each other, so that only what the model learns moves."""

from collections.abc import Callable
from importlib import import_module
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray
from core.domain.layouts import ALIGNMENTS
from core.errors import DegenerateEmbeddingsError
from core.layout.frames import naming_frame

Fit: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64], float], NDArray[np.float64]]
"""A frame (N, 2), moved onto a reference (N, 2); the third argument is `align.trim`."""


def align(
    points: FloatArray,
    *,
    method: str,
    reference: Literal["last", "previous", "first"],
    trim: float = 0.0,
) -> FloatArray:
    """Align every frame to one frame, or to the one before it.

    Args:
        points: (T, N, 2), finite.
        method: a name in `ALIGNMENTS`; the docstring of its module says what it does.
        reference: "last" or "first": every frame to frame T-1 or 0. "previous": frame 0 is aligned to itself, and
            each other frame to the already aligned one before it: neighbours agree best, while slow drift may add up.
        trim: 0 to 0.5, the share of points that have no say; of the method rigid.

    Returns:
        (T, N, 2) float32.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite, or the method cannot align a frame.
    """
    if not np.isfinite(points).all():
        raise DegenerateEmbeddingsError(
            "The layout holds NaN or infinite coordinates: the training diverged. Try a lower train.learning_rate."
        )
    fit = fitter(method)
    aligned = np.empty(points.shape)
    doubles = points.astype(np.float64)
    target = doubles[-1] if reference == "last" else doubles[0]
    target = target - target.mean(axis=0)
    for index, frame in enumerate(doubles):
        with naming_frame(index):
            aligned[index] = fit(frame, target, trim)
        if reference == "previous":
            target = aligned[index]
    return aligned.astype(np.float32)


def fitter(method: str) -> Fit:
    """The function `fit` of an alignment's module."""
    fit: Fit = import_module(f"core.layout.alignments.{ALIGNMENTS[method].name}").fit
    return fit
