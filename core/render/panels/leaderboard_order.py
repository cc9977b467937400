"""The order of the leaderboard in each frame. Score changes of up to 5 % do not reorder the entries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.domain.arrays import FloatArray, IntArray

OVERTAKES = 1.05
"""An entry moves up if its score exceeds this multiple of the score above it. Chosen by hand; not measured."""
NEW_FOR = 2
"""Number of frames for which an entry is marked as new. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class LeaderboardOrder:
    """The leaderboard of one frame.

    Attributes:
        images: (L,) int64, rows of the probe set in the order of the ranks.
        new: entries that are marked as new: they entered the leaderboard in this frame or in the frame before. Empty if
            these are more than half of the entries: marks on most entries carry no information.
    """

    images: IntArray
    new: frozenset[int]


def worst(distance: FloatArray, count: int) -> IntArray:
    """Rows of the highest outlier scores.

    Args:
        distance: (N,) outlier scores, higher = more outlying; NaN ranks last.
        count: number of rows; at most N are returned.

    Returns:
        (min(count, N),) int64, highest score first; equal scores in the order of the probe set.

    >>> worst(np.array([0.1, 0.5, 0.3], dtype=np.float32), 2).tolist()
    [1, 2]
    """
    ranked = np.where(np.isnan(distance), -np.inf, distance)
    return np.argsort(-ranked, kind="stable")[:count].astype(np.int64)


def leaderboard_order(distance: FloatArray, count: int) -> list[LeaderboardOrder]:
    """Order the leaderboard of each frame.

    The entries of a frame are the images with its `count` highest scores. Entries of the frame before keep their order,
    unless a score exceeds the score above it by more than 5 %. New entries are inserted by their scores.

    Args:
        distance: (T, N) outlier scores, higher = more outlying, comparable across frames.
        count: L, number of entries.

    Returns:
        T leaderboards, one for each frame.
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
    for end in range(len(staying) - 1, 0, -1):  # bubble sort
        for place in range(end):
            above, below = staying[place], staying[place + 1]
            if scores[below] > OVERTAKES * scores[above]:
                staying[place : place + 2] = [below, above]
    for image in chosen:
        if image not in staying:
            place = next((i for i, other in enumerate(staying) if scores[image] > scores[other]), len(staying))
            staying.insert(place, image)
    return staying
