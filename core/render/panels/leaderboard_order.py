"""Who is on the leaderboard, frame by frame: entries keep their places while nothing but noise would change them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.arrays import FloatArray, IntArray

OVERTAKES = 1.05
"""An entry moves up when it is so many times as outlying as the one above it; less is noise."""
NEW_FOR = 2
"""Frames for which an entry is marked as new."""


@dataclass(frozen=True, slots=True)
class LeaderboardOrder:
    """The leaderboard of one frame.

    Attributes:
        images: (L,) rows of the probe set, the first place first.
        new: those that have come to the board in this frame or just before; none where most have, for then nothing is
            settled yet.
    """

    images: IntArray
    new: frozenset[int]


def worst(distance: FloatArray, count: int) -> IntArray:
    """The images that lie farthest from their neighbours.

    Args:
        distance: (N,) higher = more outlying; NaN ranks last.
        count: how many, at most N are given.

    Returns:
        (count,) int64, worst first; of equal ones the first in the probe set.

    >>> worst(np.array([0.1, 0.5, 0.3], dtype=np.float32), 2).tolist()
    [1, 2]
    """
    ranked = np.where(np.isnan(distance), -np.inf, distance)
    return np.argsort(-ranked, kind="stable")[:count].astype(np.int64)


def leaderboard_order(distance: FloatArray, count: int) -> list[LeaderboardOrder]:
    """The leaderboards of a film.

    On the board are each frame's worst, no others. Those who were there before keep their order unless one overtakes
    the one above it clearly; who comes is put in by its score.

    Args:
        distance: (T, N), one scale for all frames.
        count: L, places.
    """
    boards: list[list[int]] = []
    since: dict[int, int] = {}
    found = []
    for index, scores in enumerate(distance):
        chosen = worst(scores, count).tolist()
        board = _settle(boards[-1] if boards else [], chosen, np.nan_to_num(scores, nan=-np.inf))
        since = {image: since.get(image, index) for image in board}
        new = frozenset(image for image, came in since.items() if came > 0 and index - came < NEW_FOR)
        boards.append(board)
        found.append(LeaderboardOrder(np.array(board, dtype=np.int64), new if 2 * len(new) <= count else frozenset()))
    return found


def _settle(before: Sequence[int], chosen: Sequence[int], scores: FloatArray) -> list[int]:
    staying = [image for image in before if image in set(chosen)]
    for end in range(len(staying) - 1, 0, -1):  # as bubbles rise
        for place in range(end):
            above, below = staying[place], staying[place + 1]
            if scores[below] > OVERTAKES * scores[above]:
                staying[place : place + 2] = [below, above]
    for image in chosen:
        if image not in staying:
            place = next((i for i, other in enumerate(staying) if scores[image] > scores[other]), len(staying))
            staying.insert(place, image)
    return staying
