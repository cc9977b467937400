"""PCA of each frame separately."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, Projection
from core.domain.spec import ProjectSpec
from core.layout.axes import pca
from core.layout.frames import Frames, ProgressCallback, naming_frame, of_each


def project(frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback) -> Projection:  # noqa: ARG001 - no options
    """Project each frame onto its own first two principal components.

    Args:
        frames: T arrays (N, D) float32.
        spec: ignored.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32. Both variances (T,) are equal, because each frame has its own best plane.
    """
    laid: list[tuple[FloatArray, float, NDArray[Any]]] = []

    def lay_out(index: int, embeddings: FloatArray) -> tuple[FloatArray, float, NDArray[Any]]:
        with naming_frame(index):
            return pca(embeddings, start=laid[-1][2] if laid else None)

    for frame in of_each(frames, lay_out):
        laid.append(frame)
        on_frame(len(laid), len(frames))
    points, ratios, _ = zip(*laid, strict=True)
    shown = np.array(ratios, dtype=np.float32)
    return Projection(np.stack(points), shown, shown)
