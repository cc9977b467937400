"""Frames aligned as published in "the making of embeddings animation"."""

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from core.errors import DegenerateEmbeddingsError


def fit(
    frame: NDArray[np.float64],
    reference: NDArray[np.float64],
    trim: float,  # noqa: ARG001 - published without
) -> NDArray[np.float64]:
    """(N, 2), by scipy.spatial.procrustes to the reference, then divided by its largest |coordinate|.

    Both steps scale every frame on its own: that clusters grow while the model learns is lost, and one far outlier
    sets the zoom of its frame.

    Raises:
        DegenerateEmbeddingsError: all points of a frame coincide, or a frame has nothing in common with its reference.
    """
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
    scaled: NDArray[np.float64] = fitted / largest
    return scaled
