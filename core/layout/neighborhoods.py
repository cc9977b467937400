"""Layouts that keep neighbourhoods, each frame started from the layout of the frame before.

What is alike stays where it was, and later frames end after fewer rounds. Neither distances between clusters nor
shares of variance mean anything in such a layout.
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
"""Of the first frame."""
WARM_ROUNDS = 150
"""Of every later frame."""


class FrameLayout(Protocol):
    """Lays out one frame."""

    def __call__(self, embeddings: FloatArray, *, start: FloatArray, warm: bool, spec: ProjectSpec) -> FloatArray:
        """(N, D) to (N, 2), begun from `start`, which is the layout of the frame before if `warm`."""


def lay_out_sequentially(
    frames: Frames, spec: ProjectSpec, on_frame: ProgressCallback, lay_out: FrameLayout
) -> Projection:
    """Every frame, started from the layout of the frame before, the first one from its two widest axes.

    Returns:
        Centred points (T, N, 2); the variances are NaN.

    Raises:
        DegenerateEmbeddingsError: a frame cannot be laid out; the message tells which frame.
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
    """The package that a layout method needs.

    Args:
        name: of a method in `LAYOUTS` that has a package.

    Raises:
        InvalidSpecError: it is not installed.
    """
    method = LAYOUTS[name]
    try:
        return import_module(str(method.package_module))
    except ImportError as error:
        raise InvalidSpecError(
            f"project.method {name} wants {method.package}, which this service's worker does not have: ask its "
            f"operator for pip install 'embedreel[{name}]', or take {ProjectSpec().method}.",
            field="project.method",
        ) from error
