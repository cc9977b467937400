"""Which font has a letter: DejaVu Sans, which matplotlib brings along, then those of the system."""

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
"""Raqm joins Arabic letters, places vowel signs and sets from right to left; it needs the library FriBidi."""


@dataclass(frozen=True, slots=True)
class Face:
    """A font file and the letters (code points) that it has."""

    path: Path
    letters: frozenset[int]

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """Ready to set text `size` pixels high."""
        return _opened(self.path, size)


def runs(text: str, *, bold: bool) -> Iterator[tuple[Face, str]]:
    """The text in pieces of one font each.

    >>> [(face.path.name, piece) for face, piece in runs("frog", bold=False)]
    [('DejaVuSans.ttf', 'frog')]
    """
    for face, letters in groupby(text, key=lambda letter: face_of(letter, bold=bold)):
        yield face, "".join(letters)


@cache
def face_of(letter: str, *, bold: bool) -> Face:
    """The font that a letter is set in; DejaVu Sans where none has it, which shows a box."""
    usual = own(bold=bold)
    if ord(letter) in usual.letters:
        return usual
    return next((face for face in of_the_system(bold=bold) if ord(letter) in face.letters), usual)


@cache
def own(*, bold: bool) -> Face:
    """DejaVu Sans."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return _face(Path(mpl.get_data_path()) / "fonts" / "ttf" / name)


@cache
def of_the_system(*, bold: bool) -> tuple[Face, ...]:
    """The system's fonts: those without serifs first, upright ones of the right weight before the others."""

    def rank(path: Path) -> tuple[bool, bool, bool, str]:
        name = path.stem.lower()
        plain = not any(word in name for word in ("italic", "oblique", "mono", "light", "thin", "black", "condensed"))
        return ("sans" not in name, not plain, ("bold" in name) != bold, name)

    faces = []
    for path in sorted(map(Path, font_manager.findSystemFonts()), key=rank):
        try:
            faces.append(_face(path))
        except (OSError, RuntimeError):  # a file that FreeType cannot read, or of no outlines
            continue
    return tuple(faces)


@cache
def _face(path: Path) -> Face:
    font = FT2Font(str(path))
    return Face(path, frozenset(font.get_charmap() if font.scalable else ()))


@cache
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, layout_engine=LAYOUT)
