"""The parts that are equal in all frames of a film, as index images.

matplotlib draws them once. Each frame starts from a copy.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

from core.draw.box import Box
from core.draw.canvas import TextColors, fill, in_eighths, write
from core.draw.colors import Theme
from core.draw.marks import disc, draw_marks
from core.draw.palette import Palette
from core.draw.text import ELLIPSIS, Style, fit, measure, printable, shorten
from core.render.page.run_page import Page
from core.render.panels.curve import CurveArtists, CurvePanel, hex_of

DPI = 64
"""Dots per inch of the matplotlib figures. A power of two, so that pixels / DPI * DPI is exact in floating point."""


@dataclass(frozen=True, slots=True)
class Background:
    """The background of a film, in two versions.

    Attributes:
        future: (H, W) uint8 index image, curves in pale colours.
        past: (H, W) uint8 index image, curves in full colours. A frame shows its columns left of the marker.
    """

    future: NDArray[np.uint8]
    past: NDArray[np.uint8]

    def mark(
        self, frame: NDArray[np.uint8], page: Page, x: float, marks: Iterable[tuple[float, NDArray[np.uint8]]]
    ) -> None:
        """Show the curves of a frame in full colours up to a pixel column, and draw markers at that column.

        Args:
            frame: (H, W) uint8 index image, changed in place; a copy of `future`.
            page: layout of the frame.
            x: pixel column of the markers.
            marks: pixel row of each marker, and the (256,) uint8 palette indices of its colour by coverage.
        """
        rows, columns = slice(page.curve.top, page.curve.bottom), slice(page.curve.left, round(x))
        frame[rows, columns] = self.past[rows, columns]
        mark = disc(4.5 * page.scale, rim=1.5 * page.scale)
        for y, ink in marks:
            draw_marks(frame, mark, np.array([[x, y]]), in_eighths(ink))


def draw_background(
    page: Page, panel: CurvePanel, palette: Palette, text_colors: TextColors, *, name: str
) -> Background:
    """Draw the plot's box, the curves and the axes with matplotlib, and texts with `core.draw`.

    matplotlib does not write names of users: it reads a `$` as the start of a formula, and it lacks many scripts.

    Args:
        page: layout of the frame.
        panel: position and curves of the curve panel.
        palette: palette of the film.
        text_colors: palette indices of text.
        name: name of the run, up to 120 characters.

    Returns:
        The background in both versions.
    """
    background = paint([page], palette, lambda figure: CurveArtists(figure, page, panel, palette.theme))
    loss = panel.curves.loss_name.capitalize()
    named = (([loss], text_colors.ink), (["Accuracy on the probe images", "Accuracy"], text_colors.accent))
    for layer in (background.future, background.past):
        write_name(layer, page.name, page.scale, text_colors, name)
        write_heading(layer, page.curve, page.scale, text_colors, named)
        write_phases(layer, panel, page.scale, text_colors)
    return background


class Artists(Protocol):
    """Curves on a matplotlib figure, in full colours (past) or in pale colours (future)."""

    def show(self, *, strong: bool) -> None:
        """Colour the curves: True for the past, False for the future."""


def paint(pages: Sequence[Page], palette: Palette, artists_on: Callable[[Figure], Artists]) -> Background:
    """Paint the background without texts.

    Args:
        pages: layouts of the panels of one frame; all have the frame's width and height.
        palette: palette of the film.
        artists_on: draws the curves on a figure.

    Returns:
        The box of each page's plot, and the curves, in both versions.
    """
    size, theme = (pages[0].width / DPI, pages[0].height / DPI), palette.theme
    figure = Figure(figsize=size, dpi=DPI, facecolor=hex_of(theme.page))
    canvas = FigureCanvasAgg(figure)
    for page in pages:
        _add_card(figure, page, theme)
    artists = artists_on(figure)
    layers = []
    for strong in (False, True):
        artists.show(strong=strong)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        layers.append(palette.nearest(pixels[..., :3]))
    return Background(future=layers[0], past=layers[1])


def _add_card(figure: Figure, page: Page, theme: Theme) -> None:
    box, radius = page.plot, 10 * page.scale
    figure.add_artist(
        FancyBboxPatch(
            ((box.left + 0.5) / page.width, 1.0 - (box.bottom - 0.5) / page.height),
            (box.width - 1) / page.width,
            (box.height - 1) / page.height,
            boxstyle=f"round,pad=0,rounding_size={radius / page.width}",
            mutation_aspect=page.width / page.height,
            facecolor=hex_of(theme.card),
            edgecolor=hex_of(theme.line),
            linewidth=72.0 / DPI,
        )
    )


def write_name(layer: NDArray[np.uint8], box: Box, scale: float, text_colors: TextColors, name: str) -> None:
    """Write a name, vertically centred, in the largest size that fits into a box; shorten it if no size fits."""
    style, lines = fit(
        printable(name),
        box.width,
        box.height,
        largest=round(24 * scale),
        smallest=max(10, round(11 * scale)),
    )
    top = box.top + (box.height - len(lines) * style.line_height) / 2
    for number, line in enumerate(lines):
        write(layer, line, (box.left, top + number * style.line_height + style.size), style, text_colors.ink)


def write_heading(
    layer: NDArray[np.uint8],
    box: Box,
    scale: float,
    text_colors: TextColors,
    named: Sequence[tuple[Sequence[str], NDArray[np.uint8]]],
) -> None:
    """Write the names of the curves above their panel, each after a short line in the curve's colour.

    Args:
        layer: (H, W) uint8 index image, changed in place.
        box: box of the panel, heading included.
        scale: size of text and marks.
        text_colors: palette indices of text.
        named: for each curve its possible names, preferred name first, and the (256,) uint8 palette indices of its
            colour. The first name that leaves room for the shortest names of the later curves is written.
    """
    style = Style(max(9, round(11 * scale)))
    baseline = box.top + style.size
    dash, thick = round(16 * scale), max(2, round(2 * scale))
    row = round(baseline - style.size * 0.36 - thick / 2)
    x, pad, gap = float(box.left), 6 * scale, 18 * scale
    shortest = [dash + pad + min(measure(name, style) for name in names) for names, _ in named]
    for place, (names, ink) in enumerate(named):
        room = box.right - x - dash - pad - sum(width + gap for width in shortest[place + 1 :])
        text = next((name for name in names if measure(name, style) <= room), names[-1])
        if x + dash + pad + measure(text, style) > box.right:
            break  # no room for this name in a very small film
        fill(layer, Box(round(x), row, dash, thick), int(ink[-1]))
        x = write(layer, text, (x + dash + pad, baseline), style, text_colors.muted) + gap


def write_phases(layer: NDArray[np.uint8], panel: CurvePanel, scale: float, text_colors: TextColors) -> None:
    """Write the name of each phase above its part of the curve; a part without room for its name has none."""
    style, gap = Style(max(9, round(10 * scale))), 3 * scale
    edges = [*(panel.x(step) for step, _name in panel.curves.phases), panel.right]
    for (_step, name), (left, right) in zip(panel.curves.phases, pairwise(edges), strict=True):
        room = right - left - 2 * gap
        text = shorten(printable(name), style, room)
        if text == ELLIPSIS or measure(text, style) > room:
            continue  # no room for this name
        write(layer, text, (left + gap, panel.top - 4 * scale), style, text_colors.muted)
