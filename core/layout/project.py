"""From D features to two axes, and the layout of a whole film."""

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
"""Lays out T frames (N, D): points (T, N, 2), and the variance that they show and could show, (T,) each."""


def project_frames(
    frames: Frames, *, project: ProjectSpec, align: AlignSpec, on_frame: ProgressCallback = lambda _done, _total: None
) -> Projection:
    """Project each frame, then keep the frames still against each other.

    Args:
        frames: T arrays (N, D), finite; no more than ABREAST of them are held at a time.
        project: how D features become two.
        align: how the frames are aligned.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2), and the variance that they show and could show, (T,) each.

    Raises:
        DegenerateEmbeddingsError: a frame cannot be projected or aligned; the message tells which frame.
        InvalidSpecError: the method wants a library that is not installed.
    """
    projection = projector(project.method)(frames, project, on_frame)
    points = align_frames(projection.points, method=align.method, reference=align.reference, trim=align.trim)
    return replace(projection, points=points)


def projector(method: str) -> Projector:
    """The function `project` of a layout method's module."""
    project: Projector = import_module(f"core.layout.methods.{LAYOUTS[method].name}").project
    return project
