"""The scatter panel: discs in class colours, rings around outliers, diamonds for points beyond the border."""

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
"""Radius of a trail at its oldest and at its newest end, in pixels at scale 1. Chosen by hand; not measured."""
TRAIL_BORDER = 1.2
"""Width of the border around a trail, in pixels at scale 1. Chosen by hand; not measured."""
TRAIL_PARTS = 8
"""Number of parts of a trail; each part has one radius. Chosen by hand; not measured."""
TRAIL_SPACING = 0.75
"""Distance of the discs that form a trail, pixels. Below 1, so that the line has no gaps."""
NO_TRAILS: Mapping[int, FloatArray] = MappingProxyType({})

_SHUFFLE = 20_190_614
"""Seed of the drawing order. Any fixed value serves."""


class Scatter:
    """Draws the points of each frame into the plot's box.

    The drawing order is one random permutation for the whole film: no class covers all others, and no point comes to
    the front between two frames. The outliers of the frame are drawn last, with their rings.

    Args:
        page: layout of the frame.
        viewport: visible rectangle of the layout plane, the same for all frames.
        labels: (N,) int64, true classes.
        palette: palette of the film, with a colour for each class.
        text_colors: palette indices of text.
        caption: text in the lower corner that names the layout method.

    Attributes:
        ring_reach: distance from a ring's centre to its outer edge, pixels.
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
        """Aspect ratio, width / height, of the area of the points."""
        box = _inner_box(page)
        return box.width / box.height

    def pixels(self, points: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Convert layout coordinates to pixels.

        Args:
            points: (N, 2), in the layout's unit.

        Returns:
            (N, 2) float64 x and y in pixels of the frame, and (N,) bool, True for points that were moved to the border.
        """
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
        """Draw the points, trails, rings and the note of one frame.

        Args:
            frame: (H, W) uint8 index image, changed in place.
            points: (N, 2) layout.
            outliers: (L,) int64, rows of the points with a ring and a rank, highest score first.
            explained: explained_variance_ratio of the layout's two axes, 0..1; NaN if the layout has no axes.
            trails: (M, 2) positions by row of the point, oldest first; the last position is the current one.
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
        """Draw a line that widens towards the point, with a border in the background colour, and the point enlarged."""
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
        """Write each outlier's rank beside its ring."""
        style = Style(max(9, round(10.5 * self._page.scale)), bold=True)
        numbers = [str(place) for place in range(1, len(places) + 1)]
        sizes = np.array([(measure(number, style), CAPITAL * style.size) for number in numbers]).reshape(-1, 2)
        middles = beside(places, sizes + 2, reach=self.ring_reach, box=self._box)
        for number, (x, y) in reversed(list(zip(numbers, middles.tolist(), strict=True))):
            at, halo = (x, y + CAPITAL * style.size / 2), max(2, round(2 * self._page.scale))
            write(frame, number, at, style, self._inks.ink_on_card, align="center", halo=halo)

    def tell(self, frame: NDArray[np.uint8], told: Sequence[str]) -> None:
        """Write captions into the strip above the points; no effect if the page has no strip.

        Args:
            frame: (H, W) uint8 index image, changed in place.
            told: captions, most important first. Captions that do not fit are counted at the end of the line.
        """
        strip, style = self._page.caption, Style(max(9, round(12.5 * self._page.scale)), bold=True)
        if strip.height and told:
            pad = round(12 * self._page.scale)
            width = strip.width - 2 * pad
            text = shorten(in_one_line(told, style, width), style, width)
            write(frame, text, (strip.left + pad, strip.bottom - style.size * 0.3), style, self._inks.ink_on_card)

    def _write_note(self, frame: NDArray[np.uint8], explained: float, n_beyond: int) -> None:
        """Write layout method, explained variance and number of points beyond the border into the lower corner."""
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
    """Radius of the points.

    radius = clip(4.6 (1000 / count)^0.3, 1.2, 7.5) (side / 600)^0.75

    The radius is 4.6 pixels for 1,000 points and 2.3 for 10,000 points at a side of 600 pixels. The area of a point
    falls more slowly than 1 / count: discs may overlap, but each disc must be visible. All constants are chosen by
    hand; not measured.

    Args:
        count: number of points, at least 1.
        box: area of the points; `side` is its shorter side, pixels.

    Returns:
        Radius in pixels.
    """
    side = min(box.width, box.height) / 600.0
    return float(np.clip(4.6 * (1000.0 / count) ** 0.3, 1.2, 7.5) * side**0.75)


def _inner_box(page: Page) -> Box:
    """The plot's box without the margins for marks at the border, for captions and for the note."""
    pad = round(16 * page.scale)
    inner = page.plot.inset(pad).below(max(0, page.caption.height - pad // 2))
    return Box(inner.left, inner.top, inner.width, inner.height - round(12 * page.scale))
