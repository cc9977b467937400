"""The palette of a film: 256 colours. All frames use the same palette, so unchanged areas do not flicker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.draw.colors import LIGHT, Color, Theme, class_colors, mix, to_oklab

Frame: TypeAlias = NDArray[np.uint8]
"""A picture of a film: (H, W) uint8 palette indices."""

SIZE = 256
TRANSPARENT = SIZE - 1
"""Index that no frame contains. The GIF encoder writes it for unchanged pixels."""

COVERAGE_STEPS = 8
"""Coverage of marks is given in eighths. A palette with fewer levels returns the nearest level."""

_RAMP = 18
"""Number of greys from page to ink. Chosen by hand; not measured."""
_ACCENTS = 5
"""Number of levels of the accent colour, and of the warning colour. Chosen by hand; not measured."""
_MOST_LEVELS = 6
"""Maximum number of coverage levels of a class colour. Chosen by hand; not measured."""
_LEAST_FOR_IMAGES = 60
"""Entries kept for thumbnails, unless the classes need the entries for one level each. Chosen by hand; not measured."""
_SAMPLE_PIXELS = 400_000
"""Approximate number of pixels from which the image colours are chosen. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a film and their indices.

    Attributes:
        colors: (256, 3) uint8 sRGB.
        discs: (C, 9) uint8, index of each class colour at coverages of 0 to 8 eighths over the card.
        n_background: number of colours for lines and text. These are first, then class colours, then image colours.
        theme: colours of the theme.
    """

    colors: NDArray[np.uint8]
    discs: NDArray[np.uint8]
    n_background: int
    theme: Theme

    def class_index(self, label: int) -> int:
        """Index of a class colour at full coverage."""
        return int(self.discs[label, COVERAGE_STEPS])

    def nearest(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Find the line or text colour with the smallest Oklab distance.

        Class colours are left out, so that a grey is not replaced by a pale class colour.

        Args:
            rgb: (..., 3) uint8 sRGB.

        Returns:
            (...) uint8 palette indices.
        """
        flat = rgb.reshape(-1, 3)
        packed = flat.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        unique = to_oklab(flat[first])
        held = to_oklab(self.colors[: self.n_background])
        # |a - b|^2 without |a|^2, which does not change the minimum: one matrix product, no (U, 256, 3) array.
        away = (held**2).sum(axis=1) - 2.0 * unique @ held.T
        indices: NDArray[np.uint8] = away.argmin(axis=1).astype(np.uint8)[inverse].reshape(rgb.shape[:-1])
        return indices

    def blend(self, front: Color, back: Color) -> NDArray[np.uint8]:
        """Mix two colours at each coverage.

        Args:
            front: colour at coverage 255.
            back: colour at coverage 0.

        Returns:
            (256,) uint8 palette indices by coverage.
        """
        share = np.linspace(0.0, 1.0, SIZE)[:, None]
        mixed = np.array(back) + (np.array(front) - np.array(back)) * share
        return self.nearest(np.rint(mixed).astype(np.uint8))


def stored_palette(colors: NDArray[np.uint8], theme: Theme = LIGHT) -> Palette:
    """Create a palette without class colours from given colours.

    Args:
        colors: (M, 3) uint8 sRGB, M at most 256; the remaining entries are black.
        theme: colours of the theme.

    Returns:
        The palette.
    """
    held = np.zeros((SIZE, 3), dtype=np.uint8)
    held[: len(colors)] = colors
    no_discs = np.zeros((0, COVERAGE_STEPS + 1), dtype=np.uint8)
    return Palette(held, no_discs, n_background=min(len(colors), TRANSPARENT), theme=theme)


def build_palette(n_classes: int, images: NDArray[np.uint8], theme: Theme = LIGHT) -> Palette:
    """Create the palette of a film.

    The entries are, in this order: 31 colours of lines and text; each class colour at one to six coverages over the
    card (six for up to 27 classes, one for more than 82); at least 24 colours chosen by median cut from the thumbnails;
    the transparent entry.

    Args:
        n_classes: C, 1 to 200.
        images: (M, S, S, 3) uint8 RGB, thumbnails of the film; M may be 0. A regular sample of their pixels is used.
        theme: colours of the theme.

    Returns:
        The palette.

    Raises:
        ValueError: `n_classes` is below 1 or above 200.
    """
    background = _chrome_colors(theme)
    room = TRANSPARENT - len(background)
    n_levels = int(np.clip((room - _LEAST_FOR_IMAGES) // n_classes, 1, _MOST_LEVELS))
    shares = (np.arange(n_levels) + 1) / n_levels
    classes, card = class_colors(n_classes, theme).astype(np.float64), np.array(theme.card, dtype=np.float64)
    levels = np.rint(card + (classes[:, None] - card) * shares[:, None])

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
    """List the colours of lines and text. The card is first: index 0 is the background of the marks."""
    ramp = [mix(theme.ink, theme.page, step / (_RAMP - 1)) for step in range(_RAMP)]
    accents = [
        mix(color, theme.page, (step + 1) / steps)
        for color, steps in ((theme.accent, _ACCENTS), (theme.warning, _ACCENTS))
        for step in range(steps)
    ]
    return [theme.card, *ramp, theme.line, theme.muted, *accents]


def _image_colors(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Choose (count, 3) uint8 colours by median cut over a regular sample of pixels; greys if there are no images."""
    pixels = images.reshape(-1, 3)
    if not len(pixels):
        return np.linspace(0, 255, count).astype(np.uint8)[:, None].repeat(3, axis=1)
    sample = pixels[:: max(1, len(pixels) // _SAMPLE_PIXELS)]
    quantised = Image.fromarray(sample[None]).quantize(count, method=Image.Quantize.MEDIANCUT)
    found = np.array(quantised.getpalette(), dtype=np.uint8).reshape(-1, 3)[:count]
    return np.concatenate([found, found[-1:].repeat(count - len(found), axis=0)])
