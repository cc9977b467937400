"""Sequential layouts by t-SNE and UMAP: each frame starts from the layout of the previous frame.

Because of the start, similar points stay near their previous positions, and later frames require fewer iterations. In
such a layout, distances between clusters have no meaning, and explained_variance_ratio is not defined.
"""

from importlib import import_module
from typing import Any, Protocol

import numpy as np

from core.domain.arrays import FloatArray, Projection
from core.domain.layouts import LAYOUTS
from core.domain.spec import ProjectSpec
from core.errors import InvalidSpecError
from core.layout.axes import check, pca
from core.layout.frames import Frames, ProgressCallback, naming_frame

FIRST_ROUNDS = 500
"""Number of iterations of the first frame. Chosen by hand; not measured."""
WARM_ROUNDS = 150
"""Number of iterations of each later frame. Chosen by hand; not measured."""


class FrameLayout(Protocol):
    """Lays out one frame."""

    def __call__(self, embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
        """Lay out one frame.

        Args:
            embeddings: (N, D) float32.
            start: (N, 2), initial layout.
            warm: True if `start` is the layout of the previous frame; False for the first frame.
            spec: options of the layout.

        Returns:
            (N, 2).
        """


def lay_out_sequentially(
    frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback, lay_out: FrameLayout
) -> Projection:
    """Lay out all frames in order. Each frame starts from the previous layout; the first frame starts from its PCA.

    Args:
        frames: T arrays (N, D) float32.
        spec: options of the layout.
        on_frame: see `ProgressCallback`.
        lay_out: lays out one frame.

    Returns:
        Points (T, N, 2) float32, each frame centred. Both variances are NaN.

    Raises:
        DegenerateEmbeddingsError: a frame cannot be laid out. The message states which frame.
    """
    points: list[FloatArray] = []
    for index, embeddings in enumerate(frames):
        with naming_frame(index):
            start = points[-1] if points else pca(embeddings)[0]
            check(embeddings)
            laid = np.asarray(lay_out(embeddings, start=start, warm=bool(points), spec=spec))
        points.append((laid - laid.mean(axis=0)).astype(np.float32))
        on_frame(index + 1, len(frames))
    unknown = np.full(len(points), np.nan, dtype=np.float32)
    return Projection(np.stack(points), unknown, unknown)


def require_package(name: str) -> Any:  # noqa: ANN401 - these packages have no types
    """Import the package that a layout method requires.

    Args:
        name: name of a method in `LAYOUTS` with an optional package.

    Returns:
        The module.

    Raises:
        InvalidSpecError: the package is not installed.
    """
    method = LAYOUTS[name]
    try:
        return import_module(str(method.package_module))
    except ImportError as error:
        raise InvalidSpecError(
            f"project.method {name} requires {method.package}, which is not installed on this service's worker: ask "
            f"the operator to run pip install 'embedreel[{name}]', or use {ProjectSpec().method}.",
            field="project.method",
        ) from error
