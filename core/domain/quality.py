"""The quality card of a film, and its highlights.

T is the number of checkpoints. A number that is undefined, such as the correlation of points that do not move, is None.
"""

import math
from numbers import Integral
from typing import Annotated, Any

from pydantic import Field

from core.domain.frozen import Frozen

Number = float | None
SIGNIFICANT_DIGITS = 6
"""Number of significant digits of numbers in JSON. Chosen by hand: single precision has about seven digits."""


def json_number(value: Any) -> Any:  # noqa: ANN401 - a number of Python's or NumPy's
    """Return a number for JSON: rounded to SIGNIFICANT_DIGITS; None for NaN, infinities and None.

    An integer of Python or NumPy is returned as an `int`, unrounded.

    >>> json_number(0.123456789), json_number(float("nan")), json_number(None), json_number(12345678)
    (0.123457, None, None, 12345678)
    """
    if value is None:
        return None
    if isinstance(value, Integral):
        return int(value)
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None


def percent(share: float) -> str:
    """Return a fraction as a percentage.

    >>> percent(0.715)
    '72 %'
    """
    return f"{100 * share:.0f} %"


class MotionQuality(Frozen):
    """Agreement of the motion in the layout with the motion in the representation.

    dX is the length of the step of a point between two frames in the representation, dY in the layout.
    """

    pearson: Annotated[Number, Field(description="Pearson correlation of dX and dY, -1 to 1; 1 is best.")]
    spearman: Annotated[Number, Field(description="Spearman rank correlation of dX and dY, -1 to 1; 1 is best.")]
    temporal_stress: Annotated[
        Number, Field(description="Temporal stress of Vernier et al. (arXiv:2002.07481); 0 is best.")
    ]
    neighborhood_change: Annotated[
        Number,
        Field(
            description="Correlation over time of dY and the number of neighbours that change; mean over the points; "
            "1 is best."
        ),
    ]
    residual_rotation: Annotated[
        Number,
        Field(
            description="Motion of the layout divided by the motion after an optimal rotation of each frame; 1 is best."
        ),
    ]
    jitter: Annotated[
        Number,
        Field(
            description="Jitter of the layout divided by the jitter of the representation; below 1 the layout is "
            "smoother."
        ),
    ]
    disparity: Annotated[Number, Field(description="Mean Procrustes disparity of consecutive frames; 0: equal shapes.")]


class FrameQuality(Frozen):
    """Measures of one frame: of its layout, then of its representation."""

    frame: int
    step: int
    trustworthiness: Annotated[
        Number, Field(description="Trustworthiness, 0 to 1: neighbours in the layout are near in the representation.")
    ]
    continuity: Annotated[
        Number, Field(description="Continuity, 0 to 1: neighbours in the representation are near in the layout.")
    ]
    neighbors_kept: Annotated[
        Number,
        Field(description="k-NN recall, 0 to 1: fraction of the k nearest neighbours that the layout preserves."),
    ]
    explained_variance: Annotated[Number, Field(description="Explained variance ratio of the two axes, 0 to 1.")]
    relative_variance: Annotated[
        Number,
        Field(
            description="`explained_variance` divided by the explained variance ratio of the frame's first two "
            "principal components."
        ),
    ]
    loss: Number
    accuracy: Number
    knn_accuracy: Annotated[Number, Field(description="Accuracy of a k-NN classifier in the representation, 0 to 1.")]
    neighborhood_hit: Annotated[
        Number, Field(description="Fraction of the k neighbours with the class of their point, 0 to 1.")
    ]
    cka: Annotated[Number, Field(description="Linear CKA with the previous frame, unbiased; 1: no change.")]
    rank_me: Annotated[Number, Field(description="Effective rank of the embeddings (RankMe).")]
    nc1: Annotated[
        Number,
        Field(
            description="Neural collapse NC1: spread within classes divided by spread between classes; 0: each class "
            "is a point."
        ),
    ]


class Alternative(Frozen):
    """Measures of another layout of the same frames."""

    method: str
    pearson: Number
    trustworthiness: Number
    better: bool


class SingleFrameTsne(Frozen):
    """A t-SNE of a sample of one frame. It shows how many nearest neighbours a plane could preserve."""

    method: str
    frame: int
    points: int
    neighbors_kept: Annotated[Number, Field(description="k-NN recall of `method`, 0 to 1.")]
    kept_here: Annotated[Number, Field(description="k-NN recall of the film's layout for the same points, 0 to 1.")]
    better: bool


class QualityCard(Frozen):
    """The quality card of a film.

    Attributes:
        verdict: summary in one line.
        advice: a better layout for this run, according to `alternatives` and `closer_look`; None if none was found.
        k: number of neighbours of a neighbourhood.
        points: number of points in the sample; their neighbours are searched among all points.
        motion: measures over time.
        frames: measures of each frame.
        alternatives: other layouts that were tried.
        closer_look: t-SNE of the last frame; None if it was not computed.
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
    """An event of the training.

    Attributes:
        kind: kind of the event.
        frame: first frame that shows the event.
        step: optimiser step of this frame.
        caption: description in one line.
        classes: names of the classes of the event.
        image: the image of the event; None if the event is about classes.
        numbers: measurements behind the event.
    """

    kind: str
    frame: int
    step: int
    caption: str
    classes: tuple[str, ...] = ()
    image: Annotated[int | None, Field(description="Row of the probe set.")] = None
    numbers: dict[str, float]


class Highlights(Frozen):
    """The events of a training, ordered by frame."""

    highlights: tuple[Highlight, ...]
