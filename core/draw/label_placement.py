"""Places short labels beside their marks so that they overlap as little as possible."""

import numpy as np
from numpy.typing import NDArray

from core.draw.box import Box

_DIAGONAL = np.sqrt(0.5)
DIRECTIONS = np.array(
    [
        *((x, y) for y in (-_DIAGONAL, _DIAGONAL) for x in (_DIAGONAL, -_DIAGONAL)),
        *((1, 0), (-1, 0), (0, -1), (0, 1)),
    ]
)
"""(8, 2) unit vectors from a mark to the candidate places of its label, y downwards. The preferred place is first."""

_LABEL, _MARK = 4.0, 1.0
"""Cost of each pixel of a label that covers another label or is outside the box, and of each pixel on a mark.

Chosen by hand; not measured.
"""


def beside(marks: NDArray[np.floating], sizes: NDArray[np.floating], *, reach: float, box: Box) -> NDArray[np.floating]:
    """Choose one of eight places around its mark for each label, greedily in the given order.

    The cost of a place is 4 (pixels on earlier labels) + (pixels on other marks) + 4 (pixels outside the box). The
    place of the lowest cost is chosen; of equal costs, the first, which is above and to the right.

    Args:
        marks: (M, 2) x and y of the marks' centres, pixels.
        sizes: (M, 2) width and height of the labels, pixels.
        reach: distance from a mark's centre to its edge, pixels.
        box: box that labels leave only if every other place costs more.

    Returns:
        (M, 2) float64, x and y of the labels' centres, pixels.

    >>> beside(np.array([[50.0, 50.0]]), np.array([[8.0, 8.0]]), reach=10, box=Box(0, 0, 100, 100)).round()
    array([[60., 40.]])
    """
    chosen = np.empty((0, 2))
    edges = np.array([[box.left, box.top], [box.right, box.bottom]], dtype=float)
    for row, (mark, size) in enumerate(zip(marks, sizes, strict=True)):
        places = mark + DIRECTIONS * (reach + size / 2)
        others = np.delete(marks, row, axis=0)
        cost = _LABEL * _shared(places, size, chosen, sizes[:row])
        cost += _MARK * _shared(places, size, others, np.full(others.shape, 2 * reach * _DIAGONAL))
        inside = np.minimum(places + size / 2, edges[1]) - np.maximum(places - size / 2, edges[0])
        cost += _LABEL * (size.prod() - inside.clip(min=0).prod(axis=1))
        chosen = np.vstack([chosen, places[cost.round().argmin()]])
    return chosen


def _shared(
    places: NDArray[np.floating],
    size: NDArray[np.floating],
    others: NDArray[np.floating],
    theirs: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Pixels that a box shares with O other boxes, for each of P places of its centre: (P,)."""
    room = (size + theirs) / 2 - np.abs(places[:, None] - others)
    shared: NDArray[np.floating] = np.minimum(room, np.minimum(size, theirs)).clip(min=0).prod(axis=2).sum(axis=1)
    return shared
