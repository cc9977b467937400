"""Fonts by character: DejaVu Sans, which is part of matplotlib, then the fonts of the system."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont, features

LAYOUT = ImageFont.Layout.RAQM if features.check("fribidi") else ImageFont.Layout.BASIC
"""Raqm joins Arabic letters, places vowel signs and writes from right to left. Raqm requires the library FriBidi."""


@dataclass(frozen=True, slots=True)
class Face:
    """A font.

    Attributes:
        path: font file.
        letters: code points with a glyph.
    """

    path: Path
    letters: frozenset[int]

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """Open the font at an em size in pixels."""
        return _opened(self.path, size)


def runs(text: str, *, bold: bool) -> Iterator[tuple[Face, str]]:
    """Split a text into pieces of one font each.

    Args:
        text: the text.
        bold: True for bold fonts.

    Yields:
        The font and the text of each piece, in order.

    >>> [(face.path.name, piece) for face, piece in runs("frog", bold=False)]
    [('DejaVuSans.ttf', 'frog')]
    """
    for face, letters in groupby(text, key=lambda letter: face_of(letter, bold=bold)):
        yield face, "".join(letters)


@cache
def face_of(letter: str, *, bold: bool) -> Face:
    """Find the font of a character; DejaVu Sans, which draws a box, if no font has the character."""
    usual = own(bold=bold)
    if ord(letter) in usual.letters:
        return usual
    return next((face for face in of_the_system(bold=bold) if ord(letter) in face.letters), usual)


@cache
def own(*, bold: bool) -> Face:
    """Load DejaVu Sans from matplotlib's files."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return _face(Path(mpl.get_data_path()) / "fonts" / "ttf" / name)


@cache
def of_the_system(*, bold: bool) -> tuple[Face, ...]:
    """List the fonts of the system: names with "sans" first, then upright fonts, then fonts of the right weight."""

    def rank(path: Path) -> tuple[bool, bool, bool, str]:
        name = path.stem.lower()
        plain = not any(word in name for word in ("italic", "oblique", "mono", "light", "thin", "black", "condensed"))
        return ("sans" not in name, not plain, ("bold" in name) != bold, name)

    faces = []
    for path in sorted(map(Path, font_manager.findSystemFonts()), key=rank):
        try:
            faces.append(_face(path))
        except (OSError, RuntimeError):  # FreeType cannot read the file, or the font has no outlines
            continue
    return tuple(faces)


@cache
def _face(path: Path) -> Face:
    font = FT2Font(str(path))
    return Face(path, frozenset(font.get_charmap() if font.scalable else ()))


@cache
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, layout_engine=LAYOUT)
