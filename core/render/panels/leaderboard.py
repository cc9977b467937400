"""The leaderboard panel: the highest outlier scores of a frame, with thumbnails, classes and predictions."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.draw.box import Box
from core.draw.canvas import TextColors, fill, paste, write
from core.draw.marks import disc, draw_marks
from core.draw.text import Style, measure, printable, shorten_each
from core.draw.thumbnails import Thumbnails
from core.render.page.run_page import Page

_TWO_LINES = 24
"""Minimum height of a row with two lines of text, pixels. Chosen by hand; not measured."""
_SMALLEST_SCORE = 0.001
"""Smaller scores are written with an exponent, because three decimals would show 0.000."""
_NEW = "new"
_TAKEN_FOR = "→ "


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Grid and text styles of the leaderboard.

    Attributes:
        cells: the box of each row, highest score first.
        thumbnail: side of the thumbnails, pixels.
        name: style of class names and scores.
        detail: style of predictions and row numbers.
        two_lines: True if the prediction has a line of its own; False if it follows the class name on the same line.
    """

    cells: tuple[Box, ...]
    thumbnail: int
    name: Style
    detail: Style
    two_lines: bool

    def cell(self, at: float) -> Box:
        """Box of a row.

        Args:
            at: row, from 0. A fraction gives a box between two rows, by linear interpolation.
        """
        before, after = self.cells[int(at)], self.cells[min(int(at) + 1, len(self.cells) - 1)]
        share = at - int(at)
        left, top = (round(a + (b - a) * share) for a, b in ((before.left, after.left), (before.top, after.top)))
        return Box(left, top, before.width, before.height)


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One row of the leaderboard.

    Attributes:
        number: rank, from 1.
        at: position, in rows from 0; a fraction while the entry slides to another row.
        new: True if the entry is marked as new.
        image: row in the probe set.
        label: true class.
        predicted: predicted class.
        score: mean cosine distance to the k nearest neighbours, 0..2, higher = more outlying.
    """

    number: int
    at: float
    new: bool
    image: int
    label: int
    predicted: int
    score: float


def plan_leaderboard(page: Page, count: int) -> Leaderboard | None:
    """Choose a grid of equal rows.

    Args:
        page: layout of the frame; the grid is inside its `leaderboard` box.
        count: number of rows.

    Returns:
        The grid; None if `count` is 0 or the box has no height.
    """
    if not count or page.leaderboard.height <= 0:
        return None
    scale, gap = page.scale, round(16 * page.scale)
    box = page.leaderboard.below(round(11 * scale * 1.9))
    most = max(1, int((box.width + gap) // (185 * scale)))
    # Fewer columns leave more room for names. Another column is added while rows are too low for a thumbnail, or so
    # wide that the score is far from the name. The limits of 80, 46 and 420 pixels are chosen by hand; not measured.
    columns = 1
    while columns < most:
        height, width = box.height / -(-count // columns), box.width / columns
        if height >= 80 * scale or (height >= 46 * scale and width <= 420 * scale):
            break
        columns += 1
    rows = -(-count // columns)
    width = (box.width - (columns - 1) * gap) // columns
    height = min(box.height / rows, 100 * scale, max(62 * scale, width * 0.3))
    cells = []
    for index in range(count):
        column, row = divmod(index, rows)
        left, top = box.left + column * (width + gap), box.top + round(row * height)
        cells.append(Box(left, top, width, int(height)))
    two_lines = height >= _TWO_LINES
    name = Style(max(9, min(round(13 * scale), int(height * (0.36 if two_lines else 0.6)))))
    detail = Style(max(8, name.size - max(1, round(scale))))
    return Leaderboard(tuple(cells), int(height) - max(2, round(height * 0.14)), name, detail, two_lines)


def draw_heading(frame: NDArray[np.uint8], page: Page, text_colors: TextColors) -> None:
    """Write the heading of the leaderboard, which names the score; the name is shortened if there is no room."""
    box, style = page.leaderboard, Style(max(9, round(11 * page.scale)))
    baseline = box.top + style.size
    end = write(frame, "Outliers", (box.left, baseline), style, text_colors.muted)
    meaning = "distance to neighbours"
    if measure(meaning, style) > box.right - end - style.size:
        meaning = "distance"
    write(frame, meaning, (box.right, baseline), style, text_colors.muted, align="right")


def draw_row(
    frame: NDArray[np.uint8],
    board: Leaderboard,
    row: LeaderboardRow,
    *,
    thumbnails: Thumbnails,
    class_names: tuple[str, ...],
    text_colors: TextColors,
) -> None:
    """Write one row: rank, thumbnail, true class, score, and the predicted class if it differs from the true class.

    Args:
        frame: (H, W) uint8 index image, changed in place.
        board: grid and text styles.
        row: the entry.
        thumbnails: index images of the probe set.
        class_names: C names.
        text_colors: palette indices of text.
    """
    cell = board.cell(row.at)
    fill(frame, cell, int(text_colors.ink[0]))  # a sliding row may overlap another row
    left = cell.left + round(measure("00", board.detail)) + 4
    middle = cell.top + board.thumbnail / 2
    number = (left - 4, middle + board.detail.size * 0.36)
    write(
        frame,
        str(row.number),
        number,
        board.detail,
        text_colors.accent if row.new else text_colors.muted,
        align="right",
    )
    image = thumbnails[row.image]
    fill(frame, Box(left - 1, cell.top - 1, len(image) + 2, len(image) + 2), int(text_colors.muted[90]))
    paste(frame, image, left=left, top=cell.top)

    size = board.name.size
    left += board.thumbnail + max(5, size // 2)
    below = row.predicted != row.label and board.two_lines
    baseline = middle + (-0.22 if below else 0.36) * size
    score = format_score(row.score)
    write(frame, score, (cell.right, baseline), board.name, text_colors.ink, align="right")
    color = thumbnails.palette.discs[row.label : row.label + 1]
    draw_marks(frame, disc(size * 0.34), np.array([[left + size * 0.36, baseline - size * 0.36]]), color)

    taken = measure(score, board.name) + 6
    if row.new and board.two_lines:
        taken = max(taken, measure(_NEW, board.detail) + 6)
        write(frame, _NEW, (cell.right, baseline + 1.25 * size), board.detail, text_colors.accent, align="right")
    room = Box(left + size, round(baseline), cell.right - left - size, 0)
    _write_names(frame, board, row, class_names, text_colors=text_colors, room=room, score=taken)


def format_score(score: float) -> str:
    """Format a mean cosine distance, 0..2: three decimals, or one significant digit below 0.001.

    >>> format_score(0.12345), format_score(0.00012), format_score(float("nan"))
    ('0.123', '1e-04', 'n/a')
    """
    if not np.isfinite(score):
        return "n/a"
    return f"{score:.3f}" if score >= _SMALLEST_SCORE or score == 0 else f"{score:.0e}"


def _write_names(
    frame: NDArray[np.uint8],
    board: Leaderboard,
    row: LeaderboardRow,
    class_names: tuple[str, ...],
    *,
    text_colors: TextColors,
    room: Box,
    score: float,
) -> None:
    """Write the true class and a wrong prediction; the last `score` pixels of the first line are occupied."""
    wrong = row.predicted != row.label
    width = room.width - score
    share = 0.5 if wrong and not board.two_lines else 1.0
    shown = _shortened(class_names, board.name, int(width * share))[row.label]
    end = write(frame, shown, (room.left, room.top), board.name, text_colors.ink)
    if wrong and board.two_lines:
        start, baseline = room.left - board.name.size, room.top + board.name.size * 1.25
        left = room.right - start - (score if row.new else 0)
        shown = _shortened(class_names, board.detail, int(left), before=_TAKEN_FOR)[row.predicted]
        write(frame, shown, (start, baseline), board.detail, text_colors.warning)
    elif wrong:
        left = room.left + width - end - 5
        shown = _shortened(class_names, board.name, int(left), before=_TAKEN_FOR)[row.predicted]
        write(frame, shown, (end + 5, room.top), board.name, text_colors.warning)


@lru_cache(maxsize=256)
def _shortened(class_names: tuple[str, ...], style: Style, width: int, *, before: str = "") -> list[str]:
    """Shorten all class names to a width in pixels. Cached, because most frames use the same widths."""
    return shorten_each([before + printable(name) for name in class_names], style, width)
