"""The font of each letter: DejaVu Sans, which comes with matplotlib, or else a font of the system."""

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
"""Layout engine. Raqm joins Arabic letters, places vowel signs and sets text from right to left. It needs FriBidi."""


@dataclass(frozen=True, slots=True)
class Face:
    """A font file and its letters as code points."""

    path: Path
    letters: frozenset[int]

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """Return the font at a size in pixels."""
        return _opened(self.path, size)


def runs(text: str, *, bold: bool) -> Iterator[tuple[Face, str]]:
    """Split a text into pieces with one font each.

    >>> [(face.path.name, piece) for face, piece in runs("frog", bold=False)]
    [('DejaVuSans.ttf', 'frog')]
    """
    for face, letters in groupby(text, key=lambda letter: face_of(letter, bold=bold)):
        yield face, "".join(letters)


@cache
def face_of(letter: str, *, bold: bool) -> Face:
    """Return the font of a letter. A letter that no font contains gets DejaVu Sans, which shows a box."""
    usual = own(bold=bold)
    if ord(letter) in usual.letters:
        return usual
    return next((face for face in of_the_system(bold=bold) if ord(letter) in face.letters), usual)


@cache
def own(*, bold: bool) -> Face:
    """Return DejaVu Sans."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return _face(Path(mpl.get_data_path()) / "fonts" / "ttf" / name)


@cache
def of_the_system(*, bold: bool) -> tuple[Face, ...]:
    """Return the fonts of the system. Sans-serif fonts come first, then upright fonts of the right weight."""

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
