"""Alignment of the frames of a layout, so that a rotation of the whole layout does not look like movement of points."""

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
"""Moves a frame (N, 2) onto a reference (N, 2). Returns the moved frame (N, 2). The third argument is `align.trim`."""


def align(
    points: FloatArray,
    *,
    method: str,
    reference: Literal["last", "previous", "first"],
    trim: float = 0.0,
) -> FloatArray:
    """Align every frame to one reference frame, or to the previous frame.

    Args:
        points: (T, N, 2) float32, the layout of each frame, finite.
        method: name of the alignment in `ALIGNMENTS`. The module of that name describes the alignment.
        reference: "last" or "first": every frame is aligned to frame T - 1 or 0. "previous": frame 0 is aligned to
            itself, and each later frame to the previous aligned frame. Successive frames then agree best, but small
            errors add up to a slow drift.
        trim: fraction of the points that the fit ignores, 0 to 0.5. Only the method "rigid" uses it.

    Returns:
        (T, N, 2) float32.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite, or the method cannot align a frame.
    """
    if not np.isfinite(points).all():
        raise DegenerateEmbeddingsError(
            "The layout has NaN or infinite coordinates: the training diverged. Try a lower train.learning_rate."
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
    """Return the function `fit` of an alignment's module.

    Args:
        method: name of the alignment in `ALIGNMENTS`.
    """
    fit: Fit = import_module(f"core.layout.alignments.{ALIGNMENTS[method].name}").fit
    return fit
