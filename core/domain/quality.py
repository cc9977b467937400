"""The quality card: how far a film can be trusted, in numbers and in one line.

T checkpoints. A number that cannot be had, such as a correlation of nothing that moves, is None.
"""

import math
from typing import Annotated, Any

from pydantic import Field

from core.domain.frozen import Frozen

Number = float | None
SIGNIFICANT_DIGITS = 6
"""Of what is told: more would be noise."""


def json_number(value: Any) -> Any:  # noqa: ANN401 - a number of Python's or NumPy's
    """A number as JSON and people get it: rounded, integers as they are; None for NaN, infinities and what is missing.

    >>> json_number(0.123456789), json_number(float("nan")), json_number(None), json_number(7)
    (0.123457, None, None, 7)
    """
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None


def percent(share: float) -> str:
    """A share in words.

    >>> percent(0.715)
    '72 %'
    """
    return f"{100 * share:.0f} %"


class MotionQuality(Frozen):
    """Whether what moves on the screen has moved in the representation. dX and dY: how far each point moves a frame."""

    pearson: Annotated[Number, Field(description="Correlation of dX and dY, -1 to 1; 1 is best.")]
    spearman: Annotated[Number, Field(description="The same of their ranks.")]
    temporal_stress: Annotated[Number, Field(description="Vernier's; 0 is best.")]
    neighborhood_change: Annotated[
        Number,
        Field(description="Correlation over time of how many neighbours a point changes with dY, mean of the points."),
    ]
    residual_rotation: Annotated[Number, Field(description="Motion that turning each frame would save; 1 is none.")]
    jitter: Annotated[Number, Field(description="How much the layout trembles, by how much the representation does.")]
    disparity: Annotated[Number, Field(description="Procrustes disparity of neighbouring frames, mean; 0: one shape.")]


class FrameQuality(Frozen):
    """One frame: its layout first, then the representation itself."""

    frame: int
    step: int
    trustworthiness: Annotated[Number, Field(description="Neighbours on the screen are near in the representation.")]
    continuity: Annotated[Number, Field(description="Neighbours in the representation are near on the screen.")]
    neighbors_kept: Annotated[Number, Field(description="Share of the nearest neighbours that are so on the screen.")]
    explained_variance: Annotated[Number, Field(description="Share of this frame's variance that is shown.")]
    relative_variance: Annotated[Number, Field(description="The same, by what this frame's own best plane would show.")]
    loss: Number
    accuracy: Number
    knn_accuracy: Annotated[
        Number, Field(description="Share of images of the class that most of their neighbours have.")
    ]
    neighborhood_hit: Annotated[Number, Field(description="Share of neighbours that are of their point's class.")]
    cka: Annotated[Number, Field(description="Linear CKA with the frame before, unbiased; 1: nothing has changed.")]
    rank_me: Annotated[Number, Field(description="Effective rank: how many directions are used.")]
    nc1: Annotated[Number, Field(description="Spread within classes by spread between them; 0: each class one point.")]


class Alternative(Frozen):
    """What another layout of the same frames would have given."""

    method: str
    pearson: Number
    trustworthiness: Number
    better: bool


class SingleFrameTsne(Frozen):
    """Some points of one frame, laid out for its own sake: how many nearest neighbours a plane could keep."""

    method: str
    frame: int
    points: int
    neighbors_kept: Annotated[Number, Field(description="Share of the nearest neighbours that are so by `method`.")]
    kept_here: Annotated[Number, Field(description="The same of the film's own layout.")]
    better: bool


class QualityCard(Frozen):
    """All of it.

    Attributes:
        verdict: one line, for people.
        advice: what would serve this run better, by the numbers of `alternatives` and `closer_look`; None where nothing
            tried would.
        k: neighbours that make a neighbourhood.
        points: how many of the points were looked at; their neighbours are among all points.
    """

    verdict: str
    advice: str | None
    k: int
    points: int
    motion: MotionQuality
    frames: tuple[FrameQuality, ...]
    alternatives: tuple[Alternative, ...]
    closer_look: SingleFrameTsne | None = None


class Highlight(Frozen):
    """Something that happened while the model learnt.

    Attributes:
        kind: what, one of a few words.
        frame: when it is first seen.
        step: the same in optimiser steps.
        caption: for people, in one line.
        numbers: what justifies it.
    """

    kind: str
    frame: int
    step: int
    caption: str
    classes: tuple[str, ...] = ()
    image: Annotated[int | None, Field(description="Row of the probe set.")] = None
    numbers: dict[str, float]


class Highlights(Frozen):
    """What happened, by frame."""

    highlights: tuple[Highlight, ...]
