"""Procrustes alignment with scaling, as published in "the making of embeddings animation"."""

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from core.errors import DegenerateEmbeddingsError


def fit(
    frame: NDArray[np.float64],
    reference: NDArray[np.float64],
    trim: float,  # noqa: ARG001 - the published method ignores no points
) -> NDArray[np.float64]:
    """Align a frame by scipy.spatial.procrustes, then divide by its largest absolute coordinate.

    Both steps scale each frame separately. The film therefore does not show that clusters grow during training, and one
    distant outlier determines the scale of its frame.

    Args:
        frame: (N, 2).
        reference: (N, 2), the same points.
        trim: ignored.

    Returns:
        (N, 2), coordinates in -1..1.

    Raises:
        DegenerateEmbeddingsError: all points of the frame or of its reference coincide.
        DegenerateEmbeddingsError: the best fit of the frame to its reference has scale 0.
    """
    try:
        _, fitted, _ = scipy.spatial.procrustes(reference, frame)
    except ValueError as error:  # scipy: "Input matrices must contain >1 unique points"
        raise DegenerateEmbeddingsError(
            "All points of this frame or of its reference coincide, and the procrustes alignment scales by "
            "their spread. Use align.method rigid, which does not scale."
        ) from error
    largest = float(np.abs(fitted).max())
    if largest < np.finfo(np.float64).eps:  # scipy scales by the similarity, which is 0
        raise DegenerateEmbeddingsError(
            "This frame has nothing in common with its reference, and the procrustes alignment scales by "
            "their similarity. Use align.method rigid, which does not scale."
        )
    scaled: NDArray[np.float64] = fitted / largest
    return scaled
