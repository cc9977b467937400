"""Antialiased marks at subpixel positions. Thousands of marks are written into an index image in one call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.draw.palette import COVERAGE_STEPS

_PHASES = 4
"""Subpixel positions of a mark in each direction, so that slow points do not jump. Chosen by hand; not measured."""

Distance = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Signed distance of (x, y), in pixels from the centre of a mark, to the edge of its shape; positive inside."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A small shape, sampled at the 16 subpixel positions.

    Attributes:
        reach: largest distance in x or y of a written pixel from the pixel of the mark.
        offsets: (16, K, 2) int64, y and x of the written pixels relative to the pixel of the mark. Short lists repeat
            their last pixel.
        coverage: (16, K) int64, coverage in eighths. Pixels with coverage 0 are the rim: they get the background.
    """

    reach: int
    offsets: NDArray[np.int64]
    coverage: NDArray[np.int64]


@cache
def disc(radius: float, *, rim: float = 0.0) -> Mark:
    """Return a filled disc with a rim of background, which separates overlapping discs.

    Args:
        radius: radius of the disc, pixels.
        rim: width of the rim, pixels.
    """
    return _stamp(radius + rim, lambda x, y: radius - np.hypot(x, y))


@cache
def ring(radius: float, *, stroke: float, rim: float = 0.0) -> Mark:
    """Return a circle with rims of background inside and outside.

    Args:
        radius: radius of the middle of the stroke, pixels.
        stroke: width of the stroke, pixels.
        rim: width of each rim, pixels.
    """
    return _stamp(
        radius + stroke / 2.0 + rim,
        lambda x, y: stroke / 2.0 - np.abs(np.hypot(x, y) - radius),
        hollow=radius - stroke / 2.0 - rim,
    )


@cache
def diamond(radius: float, *, stroke: float, rim: float = 0.0) -> Mark:
    """Return a diamond with background inside.

    Args:
        radius: distance from the centre to a corner, pixels.
        stroke: width of the stroke, pixels.
        rim: width of the rim outside, pixels.
    """
    return _stamp(
        radius + rim,
        lambda x, y: stroke / 2.0 - np.abs((np.abs(x) + np.abs(y) - radius) / np.sqrt(2.0) + stroke / 2.0),
    )


def draw_marks(frame: NDArray[np.uint8], mark: Mark, points: NDArray[np.floating], values: NDArray[np.uint8]) -> None:
    """Write a mark at each point. Later points cover earlier points.

    Args:
        frame: (H, W) uint8 C-contiguous index image, changed in place.
        mark: the shape.
        points: (N, 2) x and y in pixels; the centre of a pixel is at .5. Marks that would leave the frame are moved
            inwards.
        values: (N, 9) or (1, 9) uint8, palette index for each eighth of coverage.
    """
    places, levels = _touched(frame.shape, mark, points)
    drawn = np.take_along_axis(np.broadcast_to(values, (len(points), COVERAGE_STEPS + 1)), levels, axis=1)
    # put() walks its indices in order, so the last of several marks on a pixel stays.
    np.put(frame, places, drawn)


def stroke(
    frame: NDArray[np.uint8], marks: Sequence[Mark], points: Sequence[NDArray[np.floating]], values: NDArray[np.uint8]
) -> None:
    """Write marks that form one shape. On each pixel, the mark with the largest coverage wins.

    Args:
        frame: (H, W) uint8 C-contiguous index image, changed in place.
        marks: the shape of each part of the stroke.
        points: (N, 2) x and y in pixels for each part, as for `draw_marks`.
        values: (9,) uint8, palette index for each eighth of coverage.
    """
    touched = [_touched(frame.shape, mark, part) for mark, part in zip(marks, points, strict=True)]
    places, levels = (np.concatenate([of[kind].ravel() for of in touched]) for kind in (0, 1))
    order = np.argsort(levels, kind="stable")
    np.put(frame, places[order], values[levels[order]])


def _touched(
    shape: tuple[int, ...], mark: Mark, points: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the written pixels and their coverage.

    Returns:
        (N, K) indices into the flat frame, and (N, K) coverage in eighths.
    """
    height, width = shape
    quarter = np.floor((points - 0.5) * _PHASES + 0.5).astype(np.int64)
    pixel, phase = quarter // _PHASES, quarter % _PHASES
    pixel = np.clip(pixel, mark.reach, (width - 1 - mark.reach, height - 1 - mark.reach))
    kind = phase[:, 1] * _PHASES + phase[:, 0]

    shift = mark.offsets[..., 0] * width + mark.offsets[..., 1]
    return (pixel[:, 1] * width + pixel[:, 0])[:, None] + shift[kind], mark.coverage[kind]


def _stamp(extent: float, inside: Distance, *, hollow: float = -1.0) -> Mark:
    """Sample a signed distance (pixels, positive inside) around each of the 16 subpixel positions."""
    reach = int(np.ceil(extent + 0.5))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    offsets, coverage = [], []
    for phase in range(_PHASES**2):
        dx, dy = x - phase % _PHASES / _PHASES, y - phase // _PHASES / _PHASES
        share = np.clip(inside(dx, dy) + 0.5, 0.0, 1.0)
        level = np.rint(share * COVERAGE_STEPS).astype(np.int64)
        away = np.hypot(dx, dy)
        touched = (level > 0) | ((away <= extent) & (away >= hollow))
        offsets.append(np.stack([y[touched], x[touched]], axis=1).astype(np.int64))
        coverage.append(level[touched])
    count = max(len(levels) for levels in coverage)
    return Mark(
        reach=reach,
        offsets=np.stack([np.pad(o, ((0, count - len(o)), (0, 0)), mode="edge") for o in offsets]),
        coverage=np.stack([np.pad(c, (0, count - len(c)), mode="edge") for c in coverage]),
    )
