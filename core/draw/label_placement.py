"""Placement of short labels beside their marks, so that they stay legible where marks are dense."""

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
"""(8, 2) directions of the places around a mark as x and y (downwards), the default place first."""

_LABEL, _MARK = 4.0, 1.0
"""Costs of each covered pixel of a label and of a mark. Chosen by hand; not measured."""


def beside(marks: NDArray[np.floating], sizes: NDArray[np.floating], *, reach: float, box: Box) -> NDArray[np.floating]:
    """Choose a place for each label: above and to the right, unless the label would cover something there.

    Labels are placed in order. A place depends only on the marks and on earlier labels. So a label moves only if
    something is in its way.

    Args:
        marks: (M, 2) x and y of the centres of the marks, pixels.
        sizes: (M, 2) width and height of the labels, pixels.
        reach: distance from the centre of a mark to its edge, pixels.
        box: labels stay inside this box if a place allows it.

    Returns:
        (M, 2) x and y of the centres of the labels, pixels.

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
    """Return the area that a box shares with other boxes, for each of its possible places.

    Args:
        places: (P, 2) possible centres of the box, pixels.
        size: (2,) width and height of the box, pixels.
        others: (O, 2) centres of the other boxes, pixels.
        theirs: (O, 2) widths and heights of the other boxes, pixels.

    Returns:
        (P,) shared area, pixels.
    """
    room = (size + theirs) / 2 - np.abs(places[:, None] - others)
    shared: NDArray[np.floating] = np.minimum(room, np.minimum(size, theirs)).clip(min=0).prod(axis=2).sum(axis=1)
    return shared
