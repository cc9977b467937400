"""The contact sheet of a dataset: a row a class, its name and number of images, and the first of them."""

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
"""Of a class."""
SIDE = 64
GAP = 6
NAME_WIDTH = 220
NAME_SIZE = 15
NOTE_SIZE = 12
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "Arial.ttf")
_LAYOUT = ImageFont.Layout.RAQM if features.check("fribidi") else ImageFont.Layout.BASIC
"""Raqm joins Arabic letters and sets them from right to left."""
_NO_LETTER = "\U0010ffff"


@dataclass(slots=True)
class ContactSheet:
    """Thumbnails of the first images of each class, as they come."""

    class_names: Sequence[str]
    thumbnails: dict[int, list[ImageArray]] = field(default_factory=lambda: defaultdict(list))

    def add(self, label: int, encoded: bytes, *, max_pixels: int) -> None:
        """Keep an image that can be decoded, unless its class is shown already."""
        if label < SHOWN_CLASSES and len(self.thumbnails[label]) < SHOWN_IMAGES:
            image = decode(encoded, max_pixels=max_pixels, at_least=SIDE)
            self.thumbnails[label].append(to_square(image, SIDE))

    def draw(self, counts: Sequence[tuple[int, int]]) -> Image.Image:
        """The sheet.

        Args:
            counts: images to train on and to evaluate, of each class.
        """
        shown = min(SHOWN_CLASSES, len(self.class_names))
        left_out = len(self.class_names) - shown
        width = NAME_WIDTH + SHOWN_IMAGES * (SIDE + GAP) + GAP
        height = shown * (SIDE + GAP) + GAP + (NAME_SIZE * 2 if left_out else 0)
        sheet = Image.new("RGB", (width, height), "white")
        for label in range(shown):
            self._draw_class(sheet, label, counts[label])
        if left_out:
            text = f"and {left_out:,} classes more"
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
    """A class name on one line, cut with an ellipsis where it is wider than `width` pixels."""
    text = "".join(letter if letter.isprintable() else " " for letter in name).strip()
    whole = text
    while text and _font(text, NAME_SIZE).getlength(text if text == whole else text + "…") > width:
        text = text[:-1]
    return text if text == whole else text + "…"


def _font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The first font that has all letters of a text, else the one that has most of them."""
    return max(_fonts(size), key=lambda font: sum(_has(font, letter) for letter in set(text)))


@cache
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, ...]:
    """Those of the system that are found by name, then Pillow's own, which has Latin letters only."""
    found: list[ImageFont.FreeTypeFont | ImageFont.ImageFont] = []
    for name in _FONTS:
        try:
            found.append(ImageFont.truetype(name, size, layout_engine=_LAYOUT))
        except OSError:
            continue
    return (*found, ImageFont.load_default(size))


@cache
def _has(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> bool:
    """Whether a font shows a letter otherwise than one that it does not have."""
    return letter.isspace() or not np.array_equal(_drawn(font, letter), _drawn(font, _NO_LETTER))


def _drawn(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> ImageArray:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((8, 8), letter, 255, font)
    return np.asarray(image)
