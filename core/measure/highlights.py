"""What happened while the model learnt, found in what is measured of each frame: in words, with numbers that say so.

What holds for a frame or two is noise, and is not told: a change counts when it lasts to the end of the film, or when
it goes far beyond what frames usually do.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, FrameFacts, IntArray
from core.domain.quality import Highlight, json_number, percent

Double = NDArray[np.float64]

LASTS = 3
"""Frames at the end of the film that a change must hold for."""
OWN = 0.8
"""A class is apart when so many of its neighbours are its own, and was not while there were fewer than MIXED."""
MIXED = 0.6
MERGED = 0.35
"""Two classes are one when each has so many of the other among its neighbours, and were two below PARTED."""
PARTED = 0.15
JUMP = 0.1
"""Of accuracy between two frames; and so many times what frames usually differ by."""
JUMP_TIMES = 5.0
STILL = 0.1
"""The representation has stopped moving when it moves by less than this share of its fastest."""
RISEN = 1.5
"""The loss rises when it ends at so many times its least, and far from it in time."""
DIVERGED = 10.0
SETTLED_SHARE = 0.15
"""An image has changed its class for good when it held both for such a share of the film."""
OUTLYING = 3.0
"""An outlier is so many median deviations above the film's median distance, on a scale of logarithms."""
MOST_IMAGES = 12
"""Highlights of each kind that are of single images."""


@dataclass(frozen=True, slots=True)
class FilmHistory:
    """What is looked at. T frames, N images, C classes.

    Attributes:
        facts: one a frame.
        labels: (N,).
        class_names: C names.
        distance: (T, N), outlier scores.
        moved: (T - 1,), how far the representation moves from frame to frame.
        mixing: (T, C, C), as `core.measure.quality.Measured` has it.
    """

    facts: Sequence[FrameFacts]
    labels: IntArray
    class_names: Sequence[str]
    distance: FloatArray
    moved: Double
    mixing: FloatArray

    def highlight(
        self,
        kind: str,
        frame: int,
        caption: str,
        *,
        numbers: Mapping[str, float],
        classes: tuple[str, ...] = (),
        image: int | None = None,
    ) -> Highlight:
        """A highlight of this film; a number that is none is left out."""
        known = {name: value for name, number in numbers.items() if (value := json_number(number)) is not None}
        step = self.facts[frame].step
        return Highlight(
            kind=kind, frame=frame, step=step, caption=caption, numbers=known, classes=classes, image=image
        )


def find_highlights(history: FilmHistory) -> list[Highlight]:
    """All of them, by frame; those of one frame with what concerns most images first."""
    found = [one for find in FINDERS for one in find(history)]
    return sorted(found, key=lambda one: one.frame)


def separations(history: FilmHistory) -> Iterator[Highlight]:
    """A class comes apart from the one that it was mixed with most, for good."""
    for one, name in enumerate(history.class_names):
        own = history.mixing[:, one, one]
        if not np.isfinite(own).all():
            continue
        begins = _for_good(own >= OWN)
        if not begins or own[:begins].min() >= MIXED:
            continue
        others = history.mixing[begins - 1, one].copy()
        others[one] = -1
        other = int(others.argmax())
        if others[other] <= 0:
            continue
        yield history.highlight(
            "class_separates",
            begins,
            f"{name} separates from {history.class_names[other]}",
            classes=(name, history.class_names[other]),
            numbers={"own_before": own[begins - 1], "own": own[begins], "other_before": others[other]},
        )


def mergers(history: FilmHistory) -> Iterator[Highlight]:
    """Two classes that were apart become one, for good."""
    n_classes = len(history.class_names)
    for one in range(n_classes):
        for other in range(one + 1, n_classes):
            shared = np.minimum(history.mixing[:, one, other], history.mixing[:, other, one])
            if not np.isfinite(shared).all():
                continue
            begins = _for_good(shared >= MERGED)
            if not begins or shared[:begins].min() >= PARTED:
                continue
            names = history.class_names[one], history.class_names[other]
            yield history.highlight(
                "classes_merge",
                begins,
                f"{names[0]} and {names[1]} merge",
                classes=names,
                numbers={"shared_before": shared[:begins].min(), "shared": shared[begins]},
            )


def jumps(history: FilmHistory) -> Iterator[Highlight]:
    """Accuracy changes between two frames by far more than it usually does."""
    accuracy = np.array([one.accuracy for one in history.facts], dtype=np.float64)
    change = np.diff(accuracy)
    usual = float(np.nanmedian(np.abs(change))) if np.isfinite(change).any() else 0.0
    far = np.abs(change) > max(JUMP, JUMP_TIMES * usual)
    for index in np.flatnonzero(far):
        if index and far[index - 1] and change[index] * change[index - 1] > 0:
            continue  # the same rise goes on
        ends = index
        while ends + 1 < len(change) and far[ends + 1] and change[ends + 1] * change[index] > 0:
            ends += 1
        before, after = accuracy[index], accuracy[ends + 1]
        word = "rises" if after > before else "falls"
        yield history.highlight(
            "accuracy_jumps",
            int(ends) + 1,
            f"Accuracy {word} from {percent(before)} to {percent(after)}",
            numbers={"before": before, "after": after, "usual_change": usual},
        )


def losses(history: FilmHistory) -> Iterator[Highlight]:
    """The evaluation loss leaves its least behind: the model overfits, or diverges."""
    loss = np.array([one.loss for one in history.facts], dtype=np.float64)
    if not np.isfinite(loss).any():
        return
    if not np.isfinite(loss).all():
        frame = int(np.flatnonzero(~np.isfinite(loss))[0])
        least = float(np.nanmin(loss[:frame])) if np.isfinite(loss[:frame]).any() else float("nan")
        yield history.highlight("loss_diverges", frame, "The loss is not a number any more", numbers={"least": least})
        return
    lowest = int(loss.argmin())
    least, last = float(loss[lowest]), float(loss[-1])
    diverged = last > max(DIVERGED * least, float(loss[0]))
    if least <= 0 or last < RISEN * least or not lowest + 1 < len(loss):
        return
    frame = lowest + 1 + int(np.flatnonzero(loss[lowest + 1 :] >= RISEN * least)[0])
    kind, words = ("loss_diverges", "diverges") if diverged else ("loss_rises", "rises again: the model overfits")
    yield history.highlight(kind, frame, f"The loss {words}", numbers={"least": least, "last": last})


def standstill(history: FilmHistory) -> Iterator[Highlight]:
    """The representation moves no more, to the end."""
    if not len(history.moved) or history.moved.max() == 0:
        if len(history.facts) > 1:
            yield history.highlight("stands_still", 0, "The representation does not move", numbers={"fastest": 0.0})
        return
    steps = np.diff([one.step for one in history.facts]).clip(min=1)
    speed = history.moved / steps  # frames may lie unevenly
    fastest = float(speed.max())
    begins = _for_good(speed < STILL * fastest)
    if begins:
        numbers = {"fastest": fastest, "moves": float(speed[begins:].mean())}
        yield history.highlight(
            "stands_still", begins, "The representation has all but stopped moving", numbers=numbers
        )


def conversions(history: FilmHistory) -> Iterator[Highlight]:
    """An image that was long taken for one class is taken for another, for good."""
    taken = np.stack([one.predictions for one in history.facts])
    found = sorted(_turned(taken), key=lambda one: (-min(one.held, one.holds), one.image))
    for image, frame, held, holds in found[:MOST_IMAGES]:
        before, now = int(taken[frame - 1, image]), int(taken[-1, image])
        right = " (right)" if now == history.labels[image] else ""
        yield history.highlight(
            "prediction_changes",
            frame,
            f"Image {image} is taken for {history.class_names[now]}{right}, not {history.class_names[before]}",
            image=image,
            classes=(history.class_names[before], history.class_names[now]),
            numbers={"frames_before": held, "frames_after": holds},
        )


def outliers(history: FilmHistory) -> Iterator[Highlight]:
    """An image becomes an outlier to the end of the film, or is one no more."""
    distance, limit = history.distance, _outlying(history.distance)
    out = distance > limit
    found = sorted(_turned(out), key=lambda one: (-float(distance[:, one.image].max()), one.image))
    for kind, word, now in (
        ("outlier_appears", "becomes an outlier", True),
        ("outlier_resolved", "is no outlier any more", False),
    ):
        for image, frame, *_ in [one for one in found if out[-1, one.image] == now][:MOST_IMAGES]:
            name = history.class_names[int(history.labels[image])]
            numbers = {"limit": limit, "before": distance[frame - 1, image], "score": distance[frame, image]}
            yield history.highlight(
                kind, frame, f"Image {image} ({name}) {word}", image=image, classes=(name,), numbers=numbers
            )


FINDERS: Sequence[Callable[[FilmHistory], Iterator[Highlight]]] = (
    losses,
    jumps,
    mergers,
    separations,
    standstill,
    outliers,
    conversions,
)
"""What concerns most images first."""


def _for_good(holds: NDArray[np.bool_]) -> int:
    """The first frame from which on it holds to the end; 0 where it always does, or not for LASTS frames.

    >>> _for_good(np.array([False, True, False, True, True, True]))
    3
    """
    if holds.all() or not holds[-LASTS:].all():
        return 0
    return int(np.flatnonzero(~holds)[-1]) + 1


class _Turn(NamedTuple):
    """An image whose value changed for good.

    Attributes:
        image: its row.
        frame: from which on it has its last value.
        held: frames before that, for which it had one other value.
        holds: frames from there to the end.
    """

    image: int
    frame: int
    held: int
    holds: int


def _turned(values: NDArray[np.generic]) -> Iterator[_Turn]:
    """Images whose value (T, N) changed for good, and was the same for long both before and after."""
    n_frames = len(values)
    enough = max(2, round(SETTLED_SHARE * n_frames))
    for image in np.flatnonzero((values != values[-1]).any(axis=0)).tolist():
        own = values[:, image]
        frame = _for_good(own == own[-1])
        held = _run_before(own, frame)
        if held >= enough and n_frames - frame >= enough:
            yield _Turn(image, frame, held, n_frames - frame)


def _run_before(values: NDArray[np.generic], frame: int) -> int:
    """How many frames before this one are all alike."""
    if not frame:
        return 0
    differs = np.flatnonzero(values[:frame] != values[frame - 1])
    return frame - (int(differs[-1]) + 1 if len(differs) else 0)


def _outlying(distance: FloatArray) -> float:
    """One limit for the film: beyond it a distance is far above what is usual in any of its frames."""
    positive = np.log(distance[distance > 0].astype(np.float64))
    if not len(positive):
        return float("inf")
    middle = float(np.median(positive))
    deviation = float(np.median(np.abs(positive - middle)))
    return float(np.exp(middle + OUTLYING * deviation)) if deviation > 0 else float("inf")
