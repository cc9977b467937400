"""Every frame by its own two axes of greatest variance."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, Projection
from core.domain.spec import ProjectSpec
from core.layout.axes import centre, check, check_spread, principal_axes, upright
from core.layout.frames import Frames, ProgressCallback, naming_frame, of_each


def pca(embeddings: FloatArray, *, start: NDArray[Any] | None = None) -> tuple[FloatArray, float, NDArray[Any]]:
    """The two axes of greatest variance of one frame: Y = (X - mean) V, V the top eigenvectors of X'X.

    The sign of an axis is free; here the feature that weighs most on it (the first, if several weigh the same) points
    up. Axes of equal variance may be turned within their plane: any turn is as good, and the same library on the same
    machine always takes the same one. Where all points lie on a line, the second axis is zero.

    Args:
        embeddings: (N, D), finite, N and D at least 2.
        start: (D, r), axes of a frame that is much like this one.

    Returns:
        (N, 2) float32, centred, wider axis first; the share of the variance that both axes show, 0..1; and the axes
        (D, 2).

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, a value that is NaN or infinite, or no variance.

    References:
        Pearson: On lines and planes of closest fit to systems of points in space. doi:10.1080/14786440109462720.

    >>> points, share, _ = pca(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], dtype=np.float32))
    >>> points[:, 0].tolist(), share
    ([-2.0, 0.0, 2.0], 1.0)
    """
    check(embeddings)
    check_spread(embeddings)
    centred, _ = centre(embeddings)
    axes = principal_axes(centred, count=2, start=start)
    directions = upright(axes.directions)
    points = centred @ directions.astype(np.float32)
    return points, min(1.0, float(axes.variance.sum()) / axes.total), directions


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:  # noqa: ARG001 - no options
    """Every frame by its own two axes."""
    laid: list[tuple[FloatArray, float, NDArray[Any]]] = []

    def lay_out(index: int, embeddings: FloatArray) -> tuple[FloatArray, float, NDArray[Any]]:
        with naming_frame(index):
            return pca(embeddings, start=laid[-1][2] if laid else None)

    for frame in of_each(frames, lay_out):
        laid.append(frame)
        on_frame(len(laid), len(frames))
    points, shares, _ = zip(*laid, strict=True)
    shown = np.array(shares, dtype=np.float32)
    return Projection(np.stack(points), shown, shown)
