"""The legend panel: a disc in the colour of each class, and the name of the class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.draw.box import Box
from core.draw.canvas import TextColors, write
from core.draw.marks import disc, draw_marks
from core.draw.palette import Palette
from core.draw.text import Style, measure, printable, shorten_each
from core.render.page.run_page import Page

_MOST_COLUMNS = 8
_SHORTEST_NAME, _SHORT_NAME = 5.2, 7.0
"""Minimum widths of a column as multiples of the text size: in any grid, and in a grid without room for all classes.

Chosen by hand; not measured.
"""


@dataclass(frozen=True, slots=True)
class _Grid:
    columns: int
    rows: int
    style: Style

    @property
    def cells(self) -> int:
        return self.columns * self.rows


def draw_legend(
    frame: NDArray[np.uint8], page: Page, palette: Palette, text_colors: TextColors, class_names: Sequence[str]
) -> None:
    """Write the heading, and a disc and a name for each class.

    If the classes do not fit, the last cell states how many are missing.

    Args:
        frame: (H, W) uint8 index image, changed in place.
        page: layout of the frame; the legend is at the top of its `legend` box.
        palette: palette of the film, with a colour for each class.
        text_colors: palette indices of text.
        class_names: C names; long names are shortened so that different names stay different.
    """
    box, scale = page.legend, page.scale
    heading = Style(max(9, round(11 * scale)))
    write(frame, f"{len(class_names):,} classes", (box.left, box.top + heading.size), heading, text_colors.muted)
    box = box.below(round(heading.size * 1.75))
    names = [printable(name) for name in class_names]
    grid = _choose_grid(box, names, scale)
    shown = len(names) if len(names) <= grid.cells else grid.cells - 1
    row_height = _row_height(grid.style)
    column_width = box.width / grid.columns
    written = shorten_each(names[:shown], grid.style, _room(box, grid))
    mark = disc(grid.style.size * 0.36)
    for cell in range(min(grid.cells, len(names))):
        column, row = divmod(cell, grid.rows)
        x = box.left + column * column_width
        baseline = box.top + row * row_height + grid.style.size
        if cell == shown:
            write(frame, f"+ {len(names) - shown} more", (x, baseline), grid.style, text_colors.muted)
            break
        point = np.array([[x + grid.style.size * 0.45, baseline - grid.style.size * 0.36]])
        draw_marks(frame, mark, point, palette.discs[cell : cell + 1])
        write(frame, written[cell], (x + grid.style.size * 1.2, baseline), grid.style, text_colors.ink)


def _choose_grid(box: Box, names: Sequence[str], scale: float) -> _Grid:
    """Choose columns and text size.

    If grids with a cell for each class exist: the grid that cuts the fewest pixels off the names; of equal grids, the
    grid with few columns and large text. Otherwise: the grid with the most cells.
    """
    smallest = max(9, round(10 * scale))
    largest = max(smallest, round(13 * scale))
    grids = [
        _Grid(columns, max(1, box.height // _row_height(Style(size))), Style(size))
        for size in range(largest, smallest - 1, -1)
        for columns in range(1, _MOST_COLUMNS + 1)
        if box.width / columns >= _SHORTEST_NAME * size
    ]
    complete = [_balanced(grid, len(names)) for grid in grids if grid.cells >= len(names)]
    if not complete:
        readable = [grid for grid in grids if box.width / grid.columns >= _SHORT_NAME * grid.style.size]
        return max(readable or grids, key=lambda grid: grid.cells)
    return min(complete, key=lambda grid: (round(_cut_off(box, names, grid)), grid.columns - grid.style.size))


def _balanced(grid: _Grid, count: int) -> _Grid:
    return _Grid(grid.columns, -(-count // grid.columns), grid.style)


def _cut_off(box: Box, names: Sequence[str], grid: _Grid) -> float:
    """Total width of the names beyond their columns, pixels."""
    room = _room(box, grid)
    return sum(max(0.0, measure(name, grid.style) - room) for name in names)


def _room(box: Box, grid: _Grid) -> float:
    """Maximum width of a name, pixels."""
    return box.width / grid.columns - grid.style.size * 1.7


def _row_height(style: Style) -> int:
    return round(style.size * 1.45)
