"""Layout of a whole film: projection of each frame from D features to 2, then alignment of the frames."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TypeAlias

from core.domain.arrays import Projection
from core.domain.layouts import LAYOUTS
from core.domain.spec import AlignSpec, ProjectSpec
from core.layout.align import align as align_frames
from core.layout.frames import Frames, ProgressCallback

Projector: TypeAlias = Callable[[Frames, ProjectSpec, ProgressCallback], Projection]
"""Projects T frames (N, D) to points (T, N, 2). Also returns both variances of `Projection`, (T,) each."""


def project_frames(
    frames: Frames, *, project: ProjectSpec, align: AlignSpec, on_frame: ProgressCallback = lambda _done, _total: None
) -> Projection:
    """Project each frame, then align the frames.

    Args:
        frames: T arrays (N, D) float32, finite. At most ABREAST arrays are held at a time.
        project: method and options of the projection.
        align: method and options of the alignment.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32. explained_variance and best_variance, (T,) float32 each; NaN for t-SNE and UMAP.

    Raises:
        DegenerateEmbeddingsError: a frame cannot be projected or aligned. The message states which frame.
        InvalidSpecError: the method requires a package that is not installed.
    """
    projection = projector(project.method)(frames, project, on_frame)
    points = align_frames(projection.points, method=align.method, reference=align.reference, trim=align.trim)
    return replace(projection, points=points)


def projector(method: str) -> Projector:
    """Return the function `project` of a layout method's module.

    Args:
        method: name of the method in `LAYOUTS`.
    """
    project: Projector = import_module(f"core.layout.methods.{LAYOUTS[method].name}").project
    return project
