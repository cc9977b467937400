"""The worst outliers of a frame, as thumbnails with their classes and scores."""

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
_SMALLEST_SCORE = 0.001
_NEW = "new"
_TAKEN_FOR = "→ "


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A grid of rows and how they are filled.

    Attributes:
        cells: a box a row, worst first.
        thumbnail: side of the images, pixels.
        name: style of class names and scores.
        detail: style of predictions and of the rows' numbers.
        two_lines: predictions have a line of their own; in lower rows they follow the class.
    """

    cells: tuple[Box, ...]
    thumbnail: int
    name: Style
    detail: Style
    two_lines: bool

    def cell(self, at: float) -> Box:
        """The box of a place from 0, or one between two."""
        before, after = self.cells[int(at)], self.cells[min(int(at) + 1, len(self.cells) - 1)]
        share = at - int(at)
        left, top = (round(a + (b - a) * share) for a, b in ((before.left, after.left), (before.top, after.top)))
        return Box(left, top, before.width, before.height)


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One line of the leaderboard.

    Attributes:
        number: place, from 1.
        at: where it is drawn, in places from 0; between two while it slides.
        new: it has just come.
        image: row in the probe set.
        label: the class it is of.
        predicted: the class it is taken for.
        score: mean cosine distance to its neighbours, higher = more outlying.
    """

    number: int
    at: float
    new: bool
    image: int
    label: int
    predicted: int
    score: float


def plan_leaderboard(page: Page, count: int) -> Leaderboard | None:
    """Choose a grid of equal rows; None where there is nothing to show."""
    if not count or page.leaderboard.height <= 0:
        return None
    scale, gap = page.scale, round(16 * page.scale)
    box = page.leaderboard.below(round(11 * scale * 1.9))
    most = max(1, int((box.width + gap) // (185 * scale)))
    # Fewer columns leave room for names; more are worth it while rows are too low for an image, or so wide that a
    # score stands far from its name.
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
    """What the rows are and what their numbers mean."""
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
    """Fill the row's cell: number, thumbnail, class, what it was taken for if that is wrong, and score."""
    cell = board.cell(row.at)
    fill(frame, cell, int(text_colors.ink[0]))  # it may slide over another
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
    """A mean cosine distance, 0..2, in as few letters as tell it apart.

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
    """The class and, where it is wrong, the prediction; `score` pixels of the first line are taken."""
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
    """All names as they are written where there is so much room: the same rows come in every frame."""
    return shorten_each([before + printable(name) for name in class_names], style, width)
