"""Measures, shortens and rasterises text, with a font for each character (`core.draw.fonts`)."""

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
"""Height of capitals and digits as a fraction of the em size, in DejaVu Sans."""
_TAIL = 0.6
"""Maximum fraction of the width for the end of a text whose middle is left out. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Style:
    """Size and weight of text.

    Attributes:
        size: em size, pixels.
        bold: True for bold text.
    """

    size: int
    bold: bool = False

    @property
    def line_height(self) -> int:
        """Distance of two baselines, pixels."""
        return round(self.size * 1.3)


@dataclass(frozen=True, slots=True)
class Mask:
    """Antialiased text.

    Attributes:
        coverage: (h, w) uint8, 255 = full coverage.
        left: offset from the text's start to the mask's left edge, pixels.
        top: offset from the baseline to the mask's upper edge, pixels; negative above the baseline.
        advance: width of the text, pixels.
    """

    coverage: NDArray[np.uint8]
    left: int
    top: int
    advance: float


def printable(text: str) -> str:
    r"""Replace line breaks, tabs and other control characters by spaces, and strip spaces at both ends.

    >>> printable("a\nb")
    'a b'
    """
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


@lru_cache(maxsize=4096)
def measure(text: str, style: Style) -> float:
    """Width of a line of text, pixels."""
    return sum(face.at(style.size).getlength(piece) for face, piece in runs(text, bold=style.bold))


def shorten(text: str, style: Style, width: float) -> str:
    """Cut the end of a text that is wider than `width` pixels, and append an ellipsis."""
    if measure(text, style) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda end: measure(_cut(text, end), style)) - 1
    while fitting > 0 and measure(_cut(text, fitting), style) > width:  # joined letters can make a longer text narrower
        fitting -= 1
    return _cut(text, max(0, fitting))


def shorten_each(texts: Sequence[str], style: Style, width: float) -> list[str]:
    """Shorten several texts so that different texts stay different where possible.

    Args:
        texts: the texts.
        style: size and weight.
        width: maximum width of each text, pixels.

    Returns:
        The texts in the same order. A text is cut at its end; different texts that would become equal are cut in the
        middle instead.
    """
    shown = [shorten(text, style, width) for text in texts]
    for short, count in Counter(shown).items():
        rows = [row for row, other in enumerate(shown) if other == short] if count > 1 else []
        if len({texts[row] for row in rows}) > 1:
            for row, text in zip(rows, _told_apart([texts[row] for row in rows], style, width), strict=True):
                shown[row] = text
    return shown


def _told_apart(texts: Sequence[str], style: Style, width: float) -> list[str]:
    """Cut the middles of texts that would become equal.

    The kept end of each text starts after its longest common prefix with another text, or after its common prefix with
    all texts. The variant with more different results is returned.
    """
    most = [max(_begun_alike(text, other) for other in texts if other != text) for text in texts]
    least = [min(_begun_alike(text, other) for other in texts) for text in texts]
    tried = [
        [_without_middle(text, end, style, width) for text, end in zip(texts, ends, strict=True)]
        for ends in (most, least)
    ]
    return max(tried, key=lambda shown: len(set(shown)))


def _without_middle(text: str, end: int, style: Style, width: float) -> str:
    """Join the longest beginning that fits, an ellipsis, and the text from `end` or from an earlier place that fits."""
    room = _TAIL * width
    while end > 0 and measure(text[end - 1 :], style) <= room:
        end -= 1
    tail = shorten(text[end:], style, room)
    heads = (_cut(text, length) + tail for length in range(end, -1, -1))
    return next((head for head in heads if measure(head, style) <= width), shorten(text, style, width))


def _begun_alike(one: str, other: str) -> int:
    """Length of the longest common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def _cut(text: str, end: int) -> str:
    return text[:end].rstrip() + ELLIPSIS


def wrap(text: str, style: Style, width: float, *, lines: int) -> list[str]:
    """Break a text at spaces into at most `lines` lines of `width` pixels; shorten the last line if it is too long."""
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
    """Choose the largest bold style at which a text fits into a box.

    Args:
        text: the text; it is broken at spaces.
        width: width of the box, pixels.
        height: height of the box, pixels.
        largest: largest size, pixels.
        smallest: smallest size, pixels, at most `largest`.

    Returns:
        The style and the lines. If no size fits: the smallest size, with the last line shortened.
    """
    for size in range(largest, smallest - 1, -1):
        style = Style(size, bold=True)
        lines = wrap(text, style, width, lines=max(1, int(height // style.line_height)))
        if "".join(lines).replace(" ", "") == text.replace(" ", ""):
            break
    return style, lines


@lru_cache(maxsize=4096)
def set_line(text: str, style: Style, *, halo: int = 0) -> Mask:
    """Rasterise a line of text. Cached, because most texts of a frame are also in the next frame.

    Args:
        text: one line.
        style: size and weight.
        halo: width by which the strokes are extended at all sides, pixels.

    Returns:
        The coverage mask.
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
    """Yield the pieces of a text: offset from the start in pixels, font, and characters."""
    pen = 0.0
    for face, piece in runs(text, bold=style.bold):
        font = face.at(style.size)
        yield pen, font, piece
        pen += font.getlength(piece)
