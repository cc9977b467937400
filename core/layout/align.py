"""Keep the frames of a film still against each other, so that only what the model learns moves."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg
import scipy.spatial
from numpy.typing import NDArray

from core.domain.arrays import FloatArray
from core.errors import DegenerateEmbeddingsError

Double: TypeAlias = NDArray[np.float64]
Fit: TypeAlias = Callable[[Double, Double, float], Double]

TRIM_ROUNDS = 5


def align(
    points: FloatArray,
    *,
    method: Literal["rigid", "procrustes", "none"],
    reference: Literal["last", "previous", "first"],
    trim: float = 0.0,
) -> FloatArray:
    """Align every frame to one frame, or to the one before it.

    rigid: centre each frame, then turn or mirror it by the orthogonal R that minimises ||Y_t R - Y_ref||.
    Nothing is scaled, so sizes can be compared over time. With `trim` the share of points that fit worst have no
    say in centre and rotation (least trimmed squares, found by fitting and leaving out in turn): a few points that
    cross the picture do not turn all others.

    procrustes: as published in "the making of embeddings animation": scipy.spatial.procrustes to the
    reference, then each frame is divided by its largest |coordinate|. Both steps scale every frame on its
    own: that clusters grow while the model learns is lost, and one far outlier sets the zoom of its frame.

    none: the points as they are.

    Args:
        points: (T, N, 2), finite.
        method: see above.
        reference: "last" or "first": every frame to frame T-1 or 0. "previous": frame 0 is aligned to itself, and
            each other frame to the already aligned one before it: neighbours agree best, while slow drift may add up.
        trim: 0 to 0.5; of the method rigid.

    Returns:
        (T, N, 2) float32.

    Raises:
        DegenerateEmbeddingsError: a coordinate is NaN or infinite; or the method scales, and all points of a
            frame coincide, or a frame has nothing in common with its reference.

    References:
        Schoenemann: A generalized solution of the orthogonal Procrustes problem. doi:10.1007/BF02289451.
        Rousseeuw: Least median of squares regression (trimmed squares). doi:10.1080/01621459.1984.10477105.
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
    target = target - target.mean(axis=0)
    for index, frame in enumerate(doubles):
        try:
            aligned[index] = fit(frame, target, trim)
        except DegenerateEmbeddingsError as error:
            raise DegenerateEmbeddingsError(f"Frame {index}: {error.detail}") from error
        if reference == "previous":
            target = aligned[index]
    return aligned.astype(np.float32)


def _rigid(frame: Double, reference: Double, trim: float) -> Double:
    """(N, 2), shifted and turned onto the reference."""
    kept = np.ones(len(frame), dtype=bool)
    for _ in range(TRIM_ROUNDS if trim else 1):
        middle, there = frame[kept].mean(axis=0), reference[kept].mean(axis=0)
        rotation, _ = scipy.linalg.orthogonal_procrustes(frame[kept] - middle, reference[kept] - there)
        turned: Double = (frame - middle) @ rotation + there
        misfit = np.einsum("nd,nd->n", turned - reference, turned - reference)
        now_kept = np.zeros(len(frame), dtype=bool)
        now_kept[np.argsort(misfit, kind="stable")[: max(2, math.ceil(len(frame) * (1 - trim)))]] = True
        if (now_kept == kept).all():
            break
        kept = now_kept
    return turned


def _published(frame: Double, reference: Double, trim: float) -> Double:  # noqa: ARG001 - published without
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
