"""Text as coverage masks. Each letter is set in a font that contains it."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.draw.fonts import runs

ELLIPSIS = "…"
CAPITAL = 0.73
"""Height of capitals and digits of DejaVu Sans, as a fraction of the em square."""
_TAIL = 0.6
"""Largest fraction of the width for the end of a text whose middle is left out. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Style:
    """Size and weight of text.

    Attributes:
        size: height of the em square, pixels.
        bold: heavier strokes.
    """

    size: int
    bold: bool = False

    @property
    def line_height(self) -> int:
        """Distance between two baselines, pixels."""
        return round(self.size * 1.3)


@dataclass(frozen=True, slots=True)
class Mask:
    """Antialiased text.

    Attributes:
        coverage: (h, w) uint8; 255 is full coverage.
        left: distance from the start of the line to the mask's left edge, pixels.
        top: distance from the baseline to the mask's upper edge, pixels; negative above the baseline.
        advance: distance from the start of the line to the start of a following text, pixels.
    """

    coverage: NDArray[np.uint8]
    left: int
    top: int
    advance: float


def printable(text: str) -> str:
    r"""Return the text on one line. Line breaks, tabs and other control characters become spaces.

    >>> printable("a\nb")
    'a b'
    """
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


@lru_cache(maxsize=4096)
def measure(text: str, style: Style) -> float:
    """Return the width of a line, pixels."""
    return sum(face.at(style.size).getlength(piece) for face, piece in runs(text, bold=style.bold))


def shorten(text: str, style: Style, width: float) -> str:
    """Return the text, or its longest beginning that fits into `width` pixels with an ellipsis."""
    if measure(text, style) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda end: measure(_cut(text, end), style)) - 1
    while (
        fitting > 0 and measure(_cut(text, fitting), style) > width
    ):  # a longer text may be narrower, because letters join
        fitting -= 1
    return _cut(text, max(0, fitting))


def shorten_each(texts: Sequence[str], style: Style, width: float) -> list[str]:
    """Shorten several texts. If two would become equal, their middles are cut, and their differences stay."""
    shown = [shorten(text, style, width) for text in texts]
    for short, count in Counter(shown).items():
        rows = [row for row, other in enumerate(shown) if other == short] if count > 1 else []
        if len({texts[row] for row in rows}) > 1:
            for row, text in zip(rows, _told_apart([texts[row] for row in rows], style, width), strict=True):
                shown[row] = text
    return shown


def _told_apart(texts: Sequence[str], style: Style, width: float) -> list[str]:
    """Cut the middles of the texts.

    A text keeps what follows its longest common prefix with any other text, or its shortest, whichever makes more
    texts different.
    """
    most = [max(_begun_alike(text, other) for other in texts if other != text) for text in texts]
    least = [min(_begun_alike(text, other) for other in texts) for text in texts]
    tried = [
        [_without_middle(text, end, style, width) for text, end in zip(texts, ends, strict=True)]
        for ends in (most, least)
    ]
    return max(tried, key=lambda shown: len(set(shown)))


def _without_middle(text: str, end: int, style: Style, width: float) -> str:
    """Return the longest beginning that fits, an ellipsis, and the text from `end` on, or from earlier if it fits."""
    room = _TAIL * width
    while end > 0 and measure(text[end - 1 :], style) <= room:
        end -= 1
    tail = shorten(text[end:], style, room)
    heads = (_cut(text, length) + tail for length in range(end, -1, -1))
    return next((head for head in heads if measure(head, style) <= width), shorten(text, style, width))


def _begun_alike(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def _cut(text: str, end: int) -> str:
    return text[:end].rstrip() + ELLIPSIS


def wrap(text: str, style: Style, width: float, *, lines: int) -> list[str]:
    """Break a text at spaces into at most `lines` lines of `width` pixels. A longer text gets an ellipsis."""
    wrapped: list[str] = []
    words = text.split()
    while words and len(wrapped) < lines - 1:
        count = 1
        while count < len(words) and measure(" ".join(words[: count + 1]), style) <= width:
            count += 1
        line = " ".join(words[:count])
        if measure(line, style) > width:
            break
        wrapped.append(line)
        words = words[count:]
    if words:
        wrapped.append(shorten(" ".join(words), style, width))
    return wrapped


def fit(text: str, width: float, height: float, *, largest: int, smallest: int) -> tuple[Style, list[str]]:
    """Return the largest bold style in which the text fits into a box, and its lines.

    If the text does not fit in the smallest style, it is shortened.

    Args:
        text: the text.
        width: width of the box, pixels.
        height: height of the box, pixels.
        largest: largest size of the letters, pixels.
        smallest: smallest size of the letters, pixels.
    """
    for size in range(largest, smallest - 1, -1):
        style = Style(size, bold=True)
        lines = wrap(text, style, width, lines=max(1, int(height // style.line_height)))
        if "".join(lines).replace(" ", "") == text.replace(" ", ""):
            break
    return style, lines


@lru_cache(maxsize=4096)
def set_line(text: str, style: Style, *, halo: int = 0) -> Mask:
    """Return the mask of a line of text. Masks are cached, because most texts of a film occur in many frames.

    Args:
        text: one line.
        style: size and weight.
        halo: pixels that are added to the strokes on all sides.
    """
    pieces = list(_pieces(text, style))
    boxes = [
        font.getbbox(piece, anchor="ls", stroke_width=halo) + np.array([pen, 0, pen, 0]) for pen, font, piece in pieces
    ]
    left, top = np.min([box[:2] for box in boxes], axis=0).round().astype(int).tolist() if boxes else (0, 0)
    right, bottom = np.max([box[2:] for box in boxes], axis=0).round().astype(int).tolist() if boxes else (0, 0)
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    for pen, font, piece in pieces:
        ImageDraw.Draw(image).text((pen - left, -top), piece, fill=255, font=font, anchor="ls", stroke_width=halo)
    return Mask(coverage=np.asarray(image), left=left, top=top, advance=measure(text, style))


def _pieces(text: str, style: Style) -> Iterator[tuple[float, ImageFont.FreeTypeFont, str]]:
    """Return the pieces of a line: distance from the start, font and text of each."""
    pen = 0.0
    for face, piece in runs(text, bold=style.bold):
        font = face.at(style.size)
        yield pen, font, piece
        pen += font.getlength(piece)
