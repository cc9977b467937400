"""Where short labels stand beside their marks, so that they can be read where marks crowd."""

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
"""(8, 2) x and y (downwards) of the places around a mark, the usual one first."""

_LABEL, _MARK = 4.0, 1.0
"""How much worse it is to lie on another label than on a mark, by pixels covered."""


def beside(marks: NDArray[np.floating], sizes: NDArray[np.floating], *, reach: float, box: Box) -> NDArray[np.floating]:
    """Choose a place for each label: the usual one, above and to the right, unless it covers something there.

    Earlier labels choose first. Each looks at its marks and at labels before it, so a label moves only when something
    comes in its way.

    Args:
        marks: (M, 2) x and y of the middles of the marks, pixels.
        sizes: (M, 2) width and height of the labels, pixels.
        reach: from a mark's middle to its edge, pixels.
        box: which labels do not leave, where a place allows it.

    Returns:
        (M, 2) middles of the labels.

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
    """(P,) pixels that a box of this size shares with other boxes (O, 2), by where its middle is put (P, 2)."""
    room = (size + theirs) / 2 - np.abs(places[:, None] - others)
    shared: NDArray[np.floating] = np.minimum(room, np.minimum(size, theirs)).clip(min=0).prod(axis=2).sum(axis=1)
    return shared
