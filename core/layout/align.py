"""Keep the frames of a film still against each other, so that only what the model learns moves."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg
import scipy.spatial
from numpy.typing import NDArray

from core.domain.arrays import FloatArray
from core.errors import DegenerateEmbeddingsError

Double: TypeAlias = NDArray[np.float64]
Fit: TypeAlias = Callable[[Double, Double], Double]


def align(
    points: FloatArray,
    *,
    method: Literal["rigid", "procrustes", "none"],
    reference: Literal["last", "previous"],
) -> FloatArray:
    """Align every frame to one frame, or to the one before it.

    rigid: centre each frame, then turn or mirror it by the orthogonal R that minimises ||Y_t R - Y_ref||.
    Nothing is scaled, so sizes can be compared over time.

    procrustes: as published in "the making of embeddings animation": scipy.spatial.procrustes to the
    reference, then each frame is divided by its largest |coordinate|. Both steps scale every frame on its
    own: that clusters grow while the model learns is lost, and one far outlier sets the zoom of its frame.

    none: the points as they are.

    Args:
        points: (T, N, 2), finite.
        method: see above.
        reference: "last": every frame to frame T-1. "previous": frame 0 is aligned to itself, and each other
            frame to the already aligned one before it: neighbours agree best, while slow drift may add up.

    Returns:
        (T, N, 2) float32.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite; or the method scales, and all points of a
            frame coincide, or a frame has nothing in common with its reference.

    References:
        Schoenemann: A generalized solution of the orthogonal Procrustes problem. doi:10.1007/BF02289451.
    """
    if not np.isfinite(points).all():
        raise DegenerateEmbeddingsError(
            "The layout holds NaN or infinite coordinates: the training diverged. Try a lower train.learning_rate."
        )
    if method == "none":
        return points.astype(np.float32)
    fit = METHODS[method]
    aligned = np.empty(points.shape)
    doubles = points.astype(np.float64)
    target = doubles[-1] if reference == "last" else doubles[0]
    for index, frame in enumerate(doubles):
        try:
            aligned[index] = fit(frame, target)
        except DegenerateEmbeddingsError as error:
            raise DegenerateEmbeddingsError(f"Frame {index}: {error.detail}") from error
        if reference == "previous":
            target = aligned[index]
    return aligned.astype(np.float32)


def _rigid(frame: Double, reference: Double) -> Double:
    """(N, 2), centred and turned onto the centred reference."""
    centred: Double = frame - frame.mean(axis=0)
    rotation, _ = scipy.linalg.orthogonal_procrustes(centred, reference - reference.mean(axis=0))
    turned: Double = centred @ rotation
    return turned


def _published(frame: Double, reference: Double) -> Double:
    """(N, 2), scaled to the unit square around 0."""
    try:
        _, fitted, _ = scipy.spatial.procrustes(reference, frame)
    except ValueError as error:  # scipy: "Input matrices must contain >1 unique points"
        raise DegenerateEmbeddingsError(
            "All points of this frame or of its reference coincide, and the procrustes alignment scales by "
            "their spread. Take align.method rigid, which does not scale."
        ) from error
    largest = float(np.abs(fitted).max())
    if largest < np.finfo(np.float64).eps:  # scipy scales by the likeness, and there is none
        raise DegenerateEmbeddingsError(
            "This frame has nothing in common with its reference, and the procrustes alignment scales by "
            "their likeness. Take align.method rigid, which does not scale."
        )
    scaled: Double = fitted / largest
    return scaled


METHODS: Mapping[str, Fit] = {"rigid": _rigid, "procrustes": _published}
"""By `align.method`; `none` needs none."""
