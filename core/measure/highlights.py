"""Highlights of a film: events of the training, each with a caption and with the numbers that justify the caption.

A change that holds for one or two frames is noise and is not reported. A change is reported if it lasts to the end of
the film, or if it is far larger than the usual change between frames.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, FrameFacts, IntArray
from core.domain.quality import Highlight, json_number, percent

Double = NDArray[np.float64]

LASTING_FRAMES = 3
"""Least number of frames at the end of the film for which a change must hold. Chosen by hand; not measured."""
SEPARATE_FRACTION = 0.8
"""Least fraction of a class's nearest neighbours that have the same class, for the class to count as separate. Chosen
by hand; not measured."""
MIXED_FRACTION = 0.6
"""A class counts as mixed if less than this fraction of its nearest neighbours has the same class. Chosen by hand;
not measured."""
MERGED_FRACTION = 0.35
"""Least fraction of the nearest neighbours of each of two classes that have the other class, for the classes to count
as merged. Chosen by hand; not measured."""
APART_FRACTION = 0.15
"""Two classes count as apart if, for at least one of them, a smaller fraction of the nearest neighbours has the other
class. Chosen by hand; not measured."""
JUMP_CHANGE = 0.1
"""Least change of accuracy between two frames that counts as a jump. Chosen by hand; not measured."""
JUMP_FACTOR = 5.0
"""A jump also exceeds the median change of accuracy by this factor. Chosen by hand; not measured."""
STILL_FRACTION = 0.1
"""The representation stands still if its movement per step is below this fraction of the maximum. Chosen by hand; not
measured."""
RISING_FACTOR = 1.5
"""The loss rises if its last value is at least this multiple of its minimum. Chosen by hand; not measured."""
DIVERGING_FACTOR = 10.0
"""The loss diverges if its last value exceeds this multiple of its minimum, and its first value. Chosen by hand; not
measured."""
SETTLED_FRACTION = 0.15
"""Least fraction of the film's frames for which an image must hold each of two values, before and after the change.
Chosen by hand; not measured."""
OUTLIER_FACTOR = 3.0
"""An outlier's log distance exceeds the film's median log distance by this multiple of the median absolute deviation.
Chosen by hand; not measured."""
MOST_IMAGES = 12
"""Largest number of highlights of each kind that concern a single image. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class FilmHistory:
    """Measurements of a film. T frames, N images, C classes.

    Attributes:
        facts: facts of each frame, T of them.
        labels: (N,) int64, true class of each image.
        class_names: C names.
        distance: (T, N) float32, outlier scores. Higher = more outlying.
        moved: (T - 1,) float64, movement of the representation between successive frames, by `motion.movement`.
        mixing: (T, C, C) float32, class mixing as in `core.measure.quality.FilmMeasurements`.
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
        """Build a highlight of this film.

        Args:
            kind: kind of the highlight, for example "class_separates".
            frame: index of the frame, 0 to T - 1.
            caption: text for readers.
            numbers: numbers that justify the caption. NaN and infinite numbers are left out.
            classes: names of the classes concerned.
            image: row of the image; None if the highlight does not concern a single image.
        """
        known = {name: value for name, number in numbers.items() if (value := json_number(number)) is not None}
        step = self.facts[frame].step
        return Highlight(
            kind=kind, frame=frame, step=step, caption=caption, numbers=known, classes=classes, image=image
        )


def find_highlights(history: FilmHistory) -> list[Highlight]:
    """Return all highlights, sorted by frame. Highlights of one frame are in the order of FINDERS."""
    found = [one for find in FINDERS for one in find(history)]
    return sorted(found, key=lambda one: one.frame)


def separations(history: FilmHistory) -> Iterator[Highlight]:
    """A class separates to the end of the film. The caption names the class with which it was mixed most."""
    for one, name in enumerate(history.class_names):
        own = history.mixing[:, one, one]
        if not np.isfinite(own).all():
            continue
        begins = _lasting_from(own >= SEPARATE_FRACTION)
        if not begins or own[:begins].min() >= MIXED_FRACTION:
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
    """Two classes that were apart merge to the end of the film."""
    n_classes = len(history.class_names)
    for one in range(n_classes):
        for other in range(one + 1, n_classes):
            shared = np.minimum(history.mixing[:, one, other], history.mixing[:, other, one])
            if not np.isfinite(shared).all():
                continue
            begins = _lasting_from(shared >= MERGED_FRACTION)
            if not begins or shared[:begins].min() >= APART_FRACTION:
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
    """Accuracy changes by more than JUMP_CHANGE and by more than JUMP_FACTOR its median change."""
    accuracy = np.array([one.accuracy for one in history.facts], dtype=np.float64)
    change = np.diff(accuracy)
    usual = float(np.nanmedian(np.abs(change))) if np.isfinite(change).any() else 0.0
    far = np.abs(change) > max(JUMP_CHANGE, JUMP_FACTOR * usual)
    for index in np.flatnonzero(far):
        if index and far[index - 1] and change[index] * change[index - 1] > 0:
            continue  # part of the jump before
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
    """The evaluation loss is at least RISING_FACTOR or DIVERGING_FACTOR times its minimum, or is NaN or infinite."""
    loss = np.array([one.loss for one in history.facts], dtype=np.float64)
    if not np.isfinite(loss).any():
        return
    if not np.isfinite(loss).all():
        frame = int(np.flatnonzero(~np.isfinite(loss))[0])
        least = float(np.nanmin(loss[:frame])) if np.isfinite(loss[:frame]).any() else float("nan")
        yield history.highlight("loss_diverges", frame, "The loss is NaN or infinite", numbers={"least": least})
        return
    lowest = int(loss.argmin())
    least, last = float(loss[lowest]), float(loss[-1])
    diverged = last > max(DIVERGING_FACTOR * least, float(loss[0]))
    if least <= 0 or last < RISING_FACTOR * least or not lowest + 1 < len(loss):
        return
    frame = lowest + 1 + int(np.flatnonzero(loss[lowest + 1 :] >= RISING_FACTOR * least)[0])
    kind, words = ("loss_diverges", "diverges") if diverged else ("loss_rises", "rises again: the model overfits")
    yield history.highlight(kind, frame, f"The loss {words}", numbers={"least": least, "last": last})


def standstill(history: FilmHistory) -> Iterator[Highlight]:
    """The representation stands still to the end of the film, or never moves."""
    if not len(history.moved) or history.moved.max() == 0:
        if len(history.facts) > 1:
            yield history.highlight("stands_still", 0, "The representation does not move", numbers={"fastest": 0.0})
        return
    steps = np.diff([one.step for one in history.facts]).clip(min=1)
    speed = history.moved / steps  # frames need not be evenly spaced
    fastest = float(speed.max())
    begins = _lasting_from(speed < STILL_FRACTION * fastest)
    if begins:
        numbers = {"fastest": fastest, "moves": float(speed[begins:].mean())}
        yield history.highlight("stands_still", begins, "The representation has almost stopped moving", numbers=numbers)


def conversions(history: FilmHistory) -> Iterator[Highlight]:
    """The prediction of an image changes from one lasting class to another, to the end of the film."""
    taken = np.stack([one.predictions for one in history.facts])
    found = sorted(_lasting_changes(taken), key=lambda one: (-min(one.frames_before, one.frames_after), one.image))
    for image, frame, frames_before, frames_after in found[:MOST_IMAGES]:
        before, now = int(taken[frame - 1, image]), int(taken[-1, image])
        right = " (right)" if now == history.labels[image] else ""
        yield history.highlight(
            "prediction_changes",
            frame,
            f"Image {image} is now predicted {history.class_names[now]}{right}, not {history.class_names[before]}",
            image=image,
            classes=(history.class_names[before], history.class_names[now]),
            numbers={"frames_before": frames_before, "frames_after": frames_after},
        )


def outliers(history: FilmHistory) -> Iterator[Highlight]:
    """An image becomes an outlier, or stops being an outlier, to the end of the film."""
    distance, limit = history.distance, _outlying(history.distance)
    out = distance > limit
    found = sorted(_lasting_changes(out), key=lambda one: (-float(distance[:, one.image].max()), one.image))
    for kind, word, now in (
        ("outlier_appears", "becomes an outlier", True),
        ("outlier_resolved", "is no longer an outlier", False),
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
"""Functions that find highlights. Those whose highlights concern most images come first."""


def _lasting_from(holds: NDArray[np.bool_]) -> int:
    """First frame from which a condition holds to the end of the film.

    Args:
        holds: (T,), True for each frame where the condition holds.

    Returns:
        Index of the frame. 0 if the condition holds in all frames, or not in each of the last LASTING_FRAMES frames.

    >>> _lasting_from(np.array([False, True, False, True, True, True]))
    3
    """
    if holds.all() or not holds[-LASTING_FRAMES:].all():
        return 0
    return int(np.flatnonzero(~holds)[-1]) + 1


class _Change(NamedTuple):
    """An image whose value changed once and kept the new value to the end of the film.

    Attributes:
        image: row of the image.
        frame: first frame with the last value.
        frames_before: number of successive frames immediately before `frame` with one other value.
        frames_after: number of frames from `frame` to the end.
    """

    image: int
    frame: int
    frames_before: int
    frames_after: int


def _lasting_changes(values: NDArray[np.generic]) -> Iterator[_Change]:
    """Find images whose value was constant for SETTLED_FRACTION of the film before a change, and also after the change.

    Args:
        values: (T, N), value of each image in each frame.
    """
    n_frames = len(values)
    enough = max(2, round(SETTLED_FRACTION * n_frames))
    for image in np.flatnonzero((values != values[-1]).any(axis=0)).tolist():
        own = values[:, image]
        frame = _lasting_from(own == own[-1])
        frames_before = _constant_before(own, frame)
        if frames_before >= enough and n_frames - frame >= enough:
            yield _Change(image, frame, frames_before, n_frames - frame)


def _constant_before(values: NDArray[np.generic], frame: int) -> int:
    """Number of successive frames just before `frame` with equal values.

    Args:
        values: (T,).
        frame: index of the frame, 0 to T - 1.
    """
    if not frame:
        return 0
    differs = np.flatnonzero(values[:frame] != values[frame - 1])
    return frame - (int(differs[-1]) + 1 if len(differs) else 0)


def _outlying(distance: FloatArray) -> float:
    """Limit above which a distance counts as outlying, the same in all frames.

    exp(median(log d) + OUTLIER_FACTOR * median(|log d - median(log d)|)) over all positive distances of the film.

    Args:
        distance: (T, N), outlier scores.

    Returns:
        The limit; infinite if no distance is positive or the median absolute deviation is 0.
    """
    positive = np.log(distance[distance > 0].astype(np.float64))
    if not len(positive):
        return float("inf")
    middle = float(np.median(positive))
    deviation = float(np.median(np.abs(positive - middle)))
    return float(np.exp(middle + OUTLIER_FACTOR * deviation)) if deviation > 0 else float("inf")
