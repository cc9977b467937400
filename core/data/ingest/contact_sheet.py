"""Draw the contact sheet of a dataset: one row for each class, with its name, its number of images and thumbnails."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from core.data.images import decode, to_square
from core.domain.arrays import ImageArray

SHOWN_CLASSES = 60
SHOWN_IMAGES = 8
"""Maximum number of thumbnails of each class."""
SIDE = 64
"""Side of a thumbnail. All lengths are in pixels."""
GAP = 6
NAME_WIDTH = 220
NAME_SIZE = 15
NOTE_SIZE = 12
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "Arial.ttf")
_LAYOUT = ImageFont.Layout.RAQM if features.check("fribidi") else ImageFont.Layout.BASIC
"""Raqm joins Arabic letters and writes them from right to left. Raqm needs FriBiDi."""
_NO_LETTER = "\U0010ffff"
"""A code point that no font has a glyph for. A font draws its placeholder glyph instead."""


@dataclass(slots=True)
class ContactSheet:
    """Collects thumbnails of the first images of each class, and draws them.

    Attributes:
        class_names: C names.
        thumbnails: by class index, up to SHOWN_IMAGES arrays (SIDE, SIDE, 3) uint8 RGB.
    """

    class_names: Sequence[str]
    thumbnails: dict[int, list[ImageArray]] = field(default_factory=lambda: defaultdict(list))

    def add(self, label: int, encoded: bytes, *, max_pixels: int) -> None:
        """Add an image, unless its class has enough thumbnails or does not appear on the sheet.

        Args:
            label: class index of the image.
            encoded: bytes of an image file.
            max_pixels: maximum number of pixels of an image.

        Raises:
            InvalidDatasetError: the image cannot be decoded. The message is the cause, without a subject.
        """
        if label < SHOWN_CLASSES and len(self.thumbnails[label]) < SHOWN_IMAGES:
            image = decode(encoded, max_pixels=max_pixels, at_least=SIDE)
            self.thumbnails[label].append(to_square(image, SIDE))

    def draw(self, counts: Sequence[tuple[int, int]]) -> Image.Image:
        """Draw the sheet.

        Args:
            counts: for each class, the number of training images and the number of evaluation images.

        Returns:
            RGB image. At most SHOWN_CLASSES classes appear; a last line states the number of the others.
        """
        shown = min(SHOWN_CLASSES, len(self.class_names))
        left_out = len(self.class_names) - shown
        width = NAME_WIDTH + SHOWN_IMAGES * (SIDE + GAP) + GAP
        height = shown * (SIDE + GAP) + GAP + (NAME_SIZE * 2 if left_out else 0)
        sheet = Image.new("RGB", (width, height), "white")
        for label in range(shown):
            self._draw_class(sheet, label, counts[label])
        if left_out:
            text = f"and {left_out:,} more classes"
            ImageDraw.Draw(sheet).text((GAP, height - NAME_SIZE * 1.6), text, "#555555", _font(text, NOTE_SIZE))
        return sheet

    def _draw_class(self, sheet: Image.Image, label: int, counts: tuple[int, int]) -> None:
        top = GAP + label * (SIDE + GAP)
        draw = ImageDraw.Draw(sheet)
        name = shortened(self.class_names[label], NAME_WIDTH - 2 * GAP)
        draw.text((GAP, top + SIDE / 2 - NAME_SIZE * 1.2), name, "black", _font(name, NAME_SIZE))
        note = f"{counts[0]:,} to train, {counts[1]:,} to evaluate"
        draw.text((GAP, top + SIDE / 2 + NAME_SIZE * 0.2), note, "#555555", _font(note, NOTE_SIZE))
        for index, thumbnail in enumerate(self.thumbnails[label]):
            sheet.paste(Image.fromarray(thumbnail), (NAME_WIDTH + index * (SIDE + GAP), top))


def shortened(name: str, width: float) -> str:
    """Return a class name on one line, cut and with an ellipsis if the name is too wide.

    Args:
        name: class name. Characters that cannot be printed become spaces.
        width: maximum width in pixels.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in name).strip()
    whole = text
    while text and _font(text, NAME_SIZE).getlength(text if text == whole else text + "…") > width:
        text = text[:-1]
    return text if text == whole else text + "…"


def _font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that has the most letters of a text. Of several such fonts, return the first."""
    return max(_fonts(size), key=lambda font: sum(_has(font, letter) for letter in set(text)))


@cache
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, ...]:
    """Return the fonts of the system that are found by name, then Pillow's font, which has only Latin letters."""
    found: list[ImageFont.FreeTypeFont | ImageFont.ImageFont] = []
    for name in _FONTS:
        try:
            found.append(ImageFont.truetype(name, size, layout_engine=_LAYOUT))
        except OSError:
            continue
    return (*found, ImageFont.load_default(size))


@cache
def _has(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> bool:
    """Return True if a font has a letter: its picture differs from that of the placeholder glyph."""
    return letter.isspace() or not np.array_equal(_drawn(font, letter), _drawn(font, _NO_LETTER))


def _drawn(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> ImageArray:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((8, 8), letter, 255, font)
    return np.asarray(image)
