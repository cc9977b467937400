"""The points of a frame: discs in class colours, rings around the outliers, diamonds at the border."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, IntArray
from core.domain.quality import percent
from core.draw.box import Box
from core.draw.canvas import TextColors, in_eighths, write
from core.draw.label_placement import beside
from core.draw.marks import diamond, disc, draw_marks, ring, stroke
from core.draw.palette import Palette
from core.draw.text import CAPITAL, Style, measure, printable, shorten
from core.draw.viewport import Viewport
from core.render.page.run_page import Page
from core.render.panels.captions import in_one_line

TRAIL_SIZES = (0.9, 2.1)
"""Radius of a trail where it begins and where it ends, pixels at scale 1."""
TRAIL_BORDER = 1.2
TRAIL_PARTS = 8
"""Of one thickness each."""
TRAIL_SPACING = 0.75
"""Pixels between the marks that a trail is made of."""
NO_TRAILS: Mapping[int, FloatArray] = MappingProxyType({})

_SHUFFLE = 20_190_614


class Scatter:
    """Draws one layout after another into the plot's card.

    Points are drawn in one shuffled order for the whole film, so that no class lies on top of all others and none
    comes to the front between two frames; the frame's outliers are drawn last, in their rings.

    Attributes:
        ring_reach: pixels from a ring's middle to its outer edge.
    """

    def __init__(
        self,
        page: Page,
        *,
        viewport: Viewport,
        labels: IntArray,
        palette: Palette,
        text_colors: TextColors,
        caption: str,
    ) -> None:
        self._page, self._viewport, self._labels = page, viewport, labels
        self._inks, self._caption = text_colors, printable(caption)
        self._discs = palette.discs
        self._box = _inner_box(page)
        self._order = np.random.default_rng(_SHUFFLE).permutation(len(labels))
        radius = point_radius(len(labels), self._box)
        rim = min(1.2, max(0.0, 0.4 * radius - 0.4))
        self._disc = disc(radius, rim=rim)
        self._head = disc(max(1.5 * radius, 3.0 * page.scale), rim=1.5 * page.scale)
        self._diamond = diamond(max(radius * 1.5, 3.5), stroke=max(1.3, radius * 0.4), rim=rim)
        self._ring = ring(radius + 4.0 * page.scale, stroke=1.8 * page.scale, rim=1.0 * page.scale)
        self.ring_reach = radius + 6.0 * page.scale

    @staticmethod
    def aspect(page: Page) -> float:
        """Width / height of what points are drawn in."""
        box = _inner_box(page)
        return box.width / box.height

    def pixels(self, points: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where (N, 2) points of the layout are on the frame, and which were moved to the border."""
        box = self._box
        return self._viewport.place(points, left=box.left, top=box.top, width=box.width, height=box.height)

    def draw(
        self,
        frame: NDArray[np.uint8],
        points: FloatArray,
        outliers: IntArray,
        *,
        explained: float,
        trails: Mapping[int, FloatArray] = NO_TRAILS,
    ) -> None:
        """Write one frame's points, trails, rings and note.

        Args:
            frame: (H, W) uint8 index image, changed in place.
            points: (N, 2) layout.
            outliers: rows of the points that get a ring and their number, worst first.
            explained: share of the variance that the layout shows, 0..1, or NaN.
            trails: by row of a point, where it was, (M, 2) each, ending where it is.
        """
        places, outside = self.pixels(points)
        ordered = self._order[~outside[self._order]]
        beyond = np.flatnonzero(outside)
        for rows, mark in ((ordered, self._disc), (beyond, self._diamond)):
            draw_marks(frame, mark, places[rows], self._discs[self._labels[rows]])
        for row, path in trails.items():
            self._draw_trail(frame, row, path)
        for rows, mark in (
            (outliers[~outside[outliers]], self._disc),
            (outliers[outside[outliers]], self._diamond),
        ):
            draw_marks(frame, mark, places[rows][::-1], self._discs[self._labels[rows]][::-1])
        draw_marks(frame, self._ring, places[outliers][::-1], in_eighths(self._inks.ink_on_card))
        self._number(frame, places[outliers])
        self._write_note(frame, explained, len(beyond))

    def _draw_trail(self, frame: NDArray[np.uint8], row: int, path: FloatArray) -> None:
        """A line that grows towards the point, bordered by the card's colour; the point on top, larger than others."""
        corners, _ = self.pixels(path)
        lengths = np.hypot(*np.diff(corners, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(lengths)])
        steps = np.linspace(0, along[-1], 1 + int(along[-1] / TRAIL_SPACING))
        line = np.column_stack([np.interp(steps, along, axis) for axis in corners.T])
        color = self._discs[self._labels[row]]
        radii, parts = np.linspace(*TRAIL_SIZES, TRAIL_PARTS).tolist(), np.array_split(line, TRAIL_PARTS)
        for values, border in ((np.zeros_like(color), TRAIL_BORDER), (color, 0.0)):
            stroke(frame, [disc((radius + border) * self._page.scale) for radius in radii], parts, values)
        draw_marks(frame, self._head, corners[-1:], color[None])

    def _number(self, frame: NDArray[np.uint8], places: NDArray[np.float64]) -> None:
        """The outliers' places on the leaderboard, beside their rings."""
        style = Style(max(9, round(10.5 * self._page.scale)), bold=True)
        numbers = [str(place) for place in range(1, len(places) + 1)]
        sizes = np.array([(measure(number, style), CAPITAL * style.size) for number in numbers]).reshape(-1, 2)
        middles = beside(places, sizes + 2, reach=self.ring_reach, box=self._box)
        for number, (x, y) in reversed(list(zip(numbers, middles.tolist(), strict=True))):
            at, halo = (x, y + CAPITAL * style.size / 2), max(2, round(2 * self._page.scale))
            write(frame, number, at, style, self._inks.ink_on_card, align="center", halo=halo)

    def tell(self, frame: NDArray[np.uint8], told: Sequence[str]) -> None:
        """Write what has just happened into the strip above the points."""
        strip, style = self._page.caption, Style(max(9, round(12.5 * self._page.scale)), bold=True)
        if strip.height and told:
            pad = round(12 * self._page.scale)
            width = strip.width - 2 * pad
            text = shorten(in_one_line(told, style, width), style, width)
            write(frame, text, (strip.left + pad, strip.bottom - style.size * 0.3), style, self._inks.ink_on_card)

    def _write_note(self, frame: NDArray[np.uint8], explained: float, n_beyond: int) -> None:
        """How the layout was made, in the plot's lower corner."""
        card, style = self._page.plot, Style(max(9, round(10.5 * self._page.scale)))
        pad = round(12 * self._page.scale)
        said = [self._caption] if self._caption else []
        if np.isfinite(explained):
            said.append(f"{percent(explained)} of the variance")
        if n_beyond:
            said.append(f"◇ {n_beyond:,} beyond the border")
        text = shorten(" · ".join(said), style, card.width - 2 * pad)
        write(frame, text, (card.left + pad, card.bottom - pad), style, self._inks.muted_on_card)


def point_radius(count: int, box: Box) -> float:
    """Radius in pixels: 4.6 for 1,000 and 2.3 for 10,000 points in a plot of 600 pixels.

    Area falls with the number of points, but slower than its inverse: a dense cloud may overlap, a dot must be seen.
    """
    side = min(box.width, box.height) / 600.0
    return float(np.clip(4.6 * (1000.0 / count) ** 0.3, 1.2, 7.5) * side**0.75)


def _inner_box(page: Page) -> Box:
    """The card without room for marks at its border and for the caption."""
    pad = round(16 * page.scale)
    inner = page.plot.inset(pad).below(max(0, page.caption.height - pad // 2))
    return Box(inner.left, inner.top, inner.width, inner.height - round(12 * page.scale))
