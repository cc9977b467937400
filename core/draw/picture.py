"""Pictures as lists of shapes. A picture is painted as palette indices or written as SVG, with the same result.

Shapes are rectangles on whole pixels, grids of cells, and lines of text. Only text is antialiased.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from core.draw.box import Box
from core.draw.canvas import fill, lay
from core.draw.colors import Color, Theme
from core.draw.palette import TRANSPARENT, stored_palette
from core.draw.text import Style, measure, set_line

_MOST_LEVELS = 16
"""Largest number of antialiasing levels of a text colour. Chosen by hand; not measured."""
_FONTS = "DejaVu Sans, Verdana, sans-serif"


@dataclass(frozen=True, slots=True)
class Rect:
    """A filled rectangle."""

    box: Box
    color: Color


@dataclass(frozen=True, slots=True)
class Cells:
    """A grid that fills a box. Heights of rows, and widths of columns, differ by at most one pixel.

    Attributes:
        box: the box.
        colors: (R, C, 3) uint8 sRGB, colours of the cells.
    """

    box: Box
    colors: NDArray[np.uint8]

    def edges(self) -> tuple[list[int], list[int]]:
        """Return the R + 1 pixel rows and the C + 1 pixel columns of the edges."""
        rows, columns, _ = self.colors.shape
        return edges(self.box.top, self.box.height, rows), edges(self.box.left, self.box.width, columns)


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text.

    Attributes:
        text: one line.
        x: pixel column of the anchor.
        y: pixel row of the anchor, on the baseline.
        style: size and weight.
        color: colour of the letters.
        behind: colour of the background.
        align: the part of the line at the anchor.
        upright: True if the text runs upwards, rotated by 90 degrees about the anchor.
    """

    text: str
    x: float
    y: float
    style: Style
    color: Color
    behind: Color
    align: Literal["left", "center", "right"] = "left"
    upright: bool = False

    def placed(self) -> tuple[Box, NDArray[np.uint8]]:
        """Return the box of the letters, and their (h, w) uint8 coverage."""
        mask = set_line(self.text, self.style)
        back = {"left": 0.0, "center": 0.5, "right": 1.0}[self.align] * mask.advance
        height, width = mask.coverage.shape
        if self.upright:
            coverage = np.rot90(mask.coverage)
            top = round(self.y + back) - mask.left - width
            return Box(round(self.x) + mask.top, top, height, width), coverage
        return Box(round(self.x - back) + mask.left, round(self.y) + mask.top, width, height), mask.coverage


Shape: TypeAlias = Rect | Cells | Text


@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes on a page of one colour, in drawing order."""

    width: int
    height: int
    page: Color
    shapes: tuple[Shape, ...]


class Painter:
    """Paints pictures with one palette.

    Args:
        theme: theme of the pictures.
        fills: all colours of areas, 1 to 240.
        texts: all pairs of text colour and background.

    Attributes:
        palette: the colours of areas, and mixtures of the text colours with their backgrounds.
    """

    def __init__(self, theme: Theme, fills: Collection[Color], texts: Collection[tuple[Color, Color]]) -> None:
        held = list(dict.fromkeys(fills))
        levels = int(np.clip((TRANSPARENT - len(held)) // max(1, len(texts)), 1, _MOST_LEVELS))
        weights = (np.arange(levels) + 1)[:, None] / levels
        mixed = [np.array(back) + (np.array(front) - np.array(back)) * weights for front, back in texts]
        colors = np.rint(np.concatenate([np.array(held, dtype=np.float64), *mixed]))[:TRANSPARENT].astype(np.uint8)
        self.palette = stored_palette(colors, theme)
        self._index = {color: place for place, color in enumerate(held)}
        self._blends = {(front, back): self.palette.blend(front, back) for front, back in texts}

    def paint(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the picture as (height, width) uint8 palette indices. Parts outside the page are cut off.

        Raises:
            KeyError: a shape has a colour that is not in the palette.
        """
        frame = np.full((picture.height, picture.width), self._index[picture.page], dtype=np.uint8)
        for shape in picture.shapes:
            match shape:
                case Rect():
                    fill(frame, shape.box, self._index[shape.color])
                case Cells():
                    self._paint_cells(frame, shape)
                case Text():
                    box, coverage = shape.placed()
                    lay(frame, coverage, box.left, box.top, self._blends[shape.color, shape.behind])
        return frame

    def _paint_cells(self, frame: NDArray[np.uint8], cells: Cells) -> None:
        flat = cells.colors.reshape(-1, 3).tolist()
        indices = np.array([self._index[red, green, blue] for red, green, blue in flat], dtype=np.uint8)
        rows, columns = map(np.diff, cells.edges())
        grid = indices.reshape(cells.colors.shape[:2]).repeat(rows, axis=0).repeat(columns, axis=1)
        box = cells.box
        frame[box.top : box.bottom, box.left : box.right] = grid


def as_svg(picture: Picture, *, title: str) -> str:
    """Return the picture as an SVG document. Text stays text, with the same width as in the painted picture.

    Args:
        picture: the picture.
        title: description for screen readers.
    """
    width, height = picture.width, picture.height
    shapes = "\n".join(element for shape in picture.shapes for element in _elements(shape))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="{_FONTS}">\n<title>{escape(title)}</title>\n'
        f"{_rect(Box(0, 0, width, height), picture.page)}\n{shapes}\n</svg>\n"
    )


def edges(start: int, length: int, parts: int) -> list[int]:
    """Return the edges of equal parts of a length, on whole pixels.

    Args:
        start: first edge, pixels.
        length: length of all parts, pixels.
        parts: number of parts.

    >>> edges(10, 7, 3)
    [10, 12, 15, 17]
    """
    found: list[int] = np.rint(start + np.linspace(0, length, parts + 1)).astype(int).tolist()
    return found


def _elements(shape: Shape) -> Iterator[str]:
    match shape:
        case Rect():
            yield _rect(shape.box, shape.color)
        case Cells():
            yield from _cells(shape)
        case Text():
            yield _text(shape)


def _cells(cells: Cells) -> Iterator[str]:
    """Return the rectangles of a grid. Neighbours in a row with the same colour are one rectangle."""
    rows, columns = cells.edges()
    for top, bottom, line in zip(rows, rows[1:], cells.colors.tolist(), strict=False):
        column = 0
        for (red, green, blue), alike in groupby(map(tuple, line)):
            end = column + len(list(alike))
            yield _rect(Box(columns[column], top, columns[end] - columns[column], bottom - top), (red, green, blue))
            column = end


def _rect(box: Box, color: Color) -> str:
    return (
        f'<rect x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}" fill="{_hex(color)}" '
        'shape-rendering="crispEdges"/>'
    )


def _text(text: Text) -> str:
    anchor = {"left": "start", "center": "middle", "right": "end"}[text.align]
    turned = f' transform="rotate(-90 {text.x:g} {text.y:g})"' if text.upright else ""
    weight = ' font-weight="bold"' if text.style.bold else ""
    letters = "".join(letter if letter.isprintable() else " " for letter in text.text)
    return (
        f'<text x="{text.x:g}" y="{text.y:g}" font-size="{text.style.size}" fill="{_hex(text.color)}" '
        f'text-anchor="{anchor}" textLength="{measure(text.text, text.style):.1f}" lengthAdjust="spacingAndGlyphs"'
        f"{weight}{turned}>{escape(letters)}</text>"
    )


def _hex(color: Color) -> str:
    return "#" + bytes(color).hex()
