"""The palette of a film: 256 colours for all frames, so that colours do not flicker between frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.draw.colors import LIGHT, Color, Theme, class_colors, mix, to_oklab

Frame: TypeAlias = NDArray[np.uint8]
"""A frame of the film: (H, W) palette indices."""

SIZE = 256
TRANSPARENT = SIZE - 1
"""Index that frames do not use. The GIF encoder writes it where a pixel does not change."""

COVERAGE_STEPS = 8
"""Number of coverage steps of a disc. The palette maps each step to the nearest level that it contains."""

_RAMP = 18
"""Number of greys from the page to the ink. Chosen by hand; not measured, like the other numbers here."""

_ACCENTS = 5
"""Number of strengths of the accent colour, and of the warning colour."""

_MOST_LEVELS = 6
"""Largest number of coverages of a class colour."""

_LEAST_FOR_IMAGES = 60
"""Number of entries that are kept for images when the coverages are chosen, if there is room for one of each class."""

_SAMPLE_PIXELS = 400_000
"""Approximate number of pixels in the sample for the median cut."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a film.

    Attributes:
        colors: (256, 3) uint8 sRGB.
        discs: (C, 9) uint8, palette index of each class's colour at 0 to 8 eighths of coverage over the card.
        n_background: number of the first entries, which are for lines and text. Class colours follow, then colours for
            images.
        theme: the theme.
    """

    colors: NDArray[np.uint8]
    discs: NDArray[np.uint8]
    n_background: int
    theme: Theme

    def class_index(self, label: int) -> int:
        """Return the palette index of the full colour of a class."""
        return int(self.discs[label, COVERAGE_STEPS])

    def nearest(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the index of the most similar colour for lines and text.

        Class colours are not used: a grey must not become the colour of a disc's edge.

        Args:
            rgb: (..., 3) uint8 sRGB.

        Returns:
            (...) uint8.
        """
        flat = rgb.reshape(-1, 3)
        packed = flat.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        unique = to_oklab(flat[first])
        held = to_oklab(self.colors[: self.n_background])
        # |a - b|^2 without its constant |a|^2: one small matrix product instead of a (U, 256, 3) difference.
        away = (held**2).sum(axis=1) - 2.0 * unique @ held.T
        indices: NDArray[np.uint8] = away.argmin(axis=1).astype(np.uint8)[inverse].reshape(rgb.shape[:-1])
        return indices

    def blend(self, front: Color, back: Color) -> NDArray[np.uint8]:
        """Return (256,) uint8 palette indices of `front` over `back` for each 8-bit coverage, for text."""
        share = np.linspace(0.0, 1.0, SIZE)[:, None]
        mixed = np.array(back) + (np.array(front) - np.array(back)) * share
        return self.nearest(np.rint(mixed).astype(np.uint8))


def stored_palette(colors: NDArray[np.uint8], theme: Theme = LIGHT) -> Palette:
    """Return the palette of an existing picture, or of a picture without classes and images.

    Args:
        colors: (M, 3) uint8 sRGB, M at most 256. The other entries are black.
        theme: the theme.
    """
    held = np.zeros((SIZE, 3), dtype=np.uint8)
    held[: len(colors)] = colors
    no_discs = np.zeros((0, COVERAGE_STEPS + 1), dtype=np.uint8)
    return Palette(held, no_discs, n_background=min(len(colors), TRANSPARENT), theme=theme)


def build_palette(n_classes: int, images: NDArray[np.uint8], theme: Theme = LIGHT) -> Palette:
    """Choose the 256 colours of a film.

    The first entries are greys from the card over the page to the ink, the colour of the accuracy curve, and the colour
    of wrong predictions. Each class colour follows at one to six coverages over the card: six for up to 27 classes, one
    for more than 82 classes. Median cut chooses the other entries, at least 24, for the thumbnails. The last entry is
    for transparency.

    Args:
        n_classes: number of classes C, 1 to 200.
        images: (M, S, S, 3) uint8 RGB, the images of the thumbnails; M may be 0. A regular sample of pixels is used.
        theme: the theme.

    Raises:
        ValueError: `n_classes` is out of range.
    """
    background = _chrome_colors(theme)
    room = TRANSPARENT - len(background)
    n_levels = int(np.clip((room - _LEAST_FOR_IMAGES) // n_classes, 1, _MOST_LEVELS))
    weights = (np.arange(n_levels) + 1) / n_levels
    classes, card = class_colors(n_classes, theme).astype(np.float64), np.array(theme.card, dtype=np.float64)
    levels = np.rint(card + (classes[:, None] - card) * weights[:, None])

    n_drawn = len(background) + n_classes * n_levels
    colors = np.zeros((SIZE, 3), dtype=np.uint8)
    colors[: len(background)] = background
    colors[len(background) : n_drawn] = levels.reshape(-1, 3)
    colors[n_drawn:TRANSPARENT] = _image_colors(images, TRANSPARENT - n_drawn)

    level = np.rint(np.arange(COVERAGE_STEPS + 1) / COVERAGE_STEPS * n_levels).astype(np.int64)
    of_class = len(background) + np.arange(n_classes)[:, None] * n_levels + level - 1
    discs = np.where(level == 0, 0, of_class).astype(np.uint8)
    return Palette(colors=colors, discs=discs, n_background=len(background), theme=theme)


def _chrome_colors(theme: Theme) -> Sequence[Color]:
    """Return the colours for lines and text. The first is the card: a disc with coverage 0 has index 0."""
    ramp = [mix(theme.ink, theme.page, step / (_RAMP - 1)) for step in range(_RAMP)]
    accents = [
        mix(color, theme.page, (step + 1) / steps)
        for color, steps in ((theme.accent, _ACCENTS), (theme.warning, _ACCENTS))
        for step in range(steps)
    ]
    return [theme.card, *ramp, theme.line, theme.muted, *accents]


def _image_colors(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return (count, 3) colours from a median cut of a regular sample of pixels; greys if there are no images."""
    pixels = images.reshape(-1, 3)
    if not len(pixels):
        return np.linspace(0, 255, count).astype(np.uint8)[:, None].repeat(3, axis=1)
    sample = pixels[:: max(1, len(pixels) // _SAMPLE_PIXELS)]
    quantised = Image.fromarray(sample[None]).quantize(count, method=Image.Quantize.MEDIANCUT)
    found = np.array(quantised.getpalette(), dtype=np.uint8).reshape(-1, 3)[:count]
    return np.concatenate([found, found[-1:].repeat(count - len(found), axis=0)])
