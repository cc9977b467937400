"""The one palette of a film: 256 colours that every frame shares, so that nothing shimmers between frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.draw.colors import LIGHT, Color, Theme, class_colors, mix, to_oklab

Frame: TypeAlias = NDArray[np.uint8]
"""A picture of the film: (H, W) indices into its palette."""

SIZE = 256
TRANSPARENT = SIZE - 1
"""Never used by a frame: the film's encoder writes it where a pixel stays as it was."""

COVERAGE_STEPS = 8
"""A disc's coverage is asked for in eighths; the palette answers with the nearest level that it holds."""

_RAMP = 18
_ACCENTS = 5
_MOST_LEVELS = 6
_LEAST_FOR_IMAGES = 60
_SAMPLE_PIXELS = 400_000


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a film and where they are.

    Attributes:
        colors: (256, 3) uint8 sRGB.
        discs: (C, 9) uint8: index of each class's colour at 0 to 8 eighths of coverage over the card.
        n_background: the first entries, for lines and text; class colours follow, then what was chosen for images.
        theme: what is light and what is dark.
    """

    colors: NDArray[np.uint8]
    discs: NDArray[np.uint8]
    n_background: int
    theme: Theme

    def class_index(self, label: int) -> int:
        """Index of the full colour of a class."""
        return int(self.discs[label, COVERAGE_STEPS])

    def nearest(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Index of the line or text colour that looks most alike.

        Class colours are left out: a grey must not turn into the pale edge of somebody's disc.

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
        """(256,) uint8: index of `front` over `back` at each 8-bit coverage, to draw text through a mask."""
        share = np.linspace(0.0, 1.0, SIZE)[:, None]
        mixed = np.array(back) + (np.array(front) - np.array(back)) * share
        return self.nearest(np.rint(mixed).astype(np.uint8))


def stored_palette(colors: NDArray[np.uint8], theme: Theme = LIGHT) -> Palette:
    """The palette of a picture that was drawn before, or of one without classes and images.

    Args:
        colors: (M, 3) uint8 sRGB, M at most 256; what is left is black.
        theme: what is light and what is dark.
    """
    held = np.zeros((SIZE, 3), dtype=np.uint8)
    held[: len(colors)] = colors
    no_discs = np.zeros((0, COVERAGE_STEPS + 1), dtype=np.uint8)
    return Palette(held, no_discs, n_background=min(len(colors), TRANSPARENT), theme=theme)


def build_palette(n_classes: int, images: NDArray[np.uint8], theme: Theme = LIGHT) -> Palette:
    """Divide the 256 entries of a film.

    First greys from the card through the page to ink, the accuracy curve's colour and the colour of wrong predictions;
    then each class colour at one to six coverages over the card (six for up to 27 classes, one beyond 82); what is
    left, at least 24, is chosen by median cut for the thumbnails. The last entry stays free for transparency.

    Args:
        n_classes: C, 1 to 200.
        images: (M, S, S, 3) uint8 RGB that will be shown; a regular sample of their pixels is looked at. M may be 0.
        theme: what is light and what is dark.

    Raises:
        ValueError: `n_classes` is out of range.
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
    """The card first: index 0 is what a disc covers by nothing."""
    ramp = [mix(theme.ink, theme.page, step / (_RAMP - 1)) for step in range(_RAMP)]
    accents = [
        mix(color, theme.page, (step + 1) / steps)
        for color, steps in ((theme.accent, _ACCENTS), (theme.warning, _ACCENTS))
        for step in range(steps)
    ]
    return [theme.card, *ramp, theme.line, theme.muted, *accents]


def _image_colors(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """(count, 3): median cut over a regular sample of the pixels; greys where there is nothing to look at."""
    pixels = images.reshape(-1, 3)
    if not len(pixels):
        return np.linspace(0, 255, count).astype(np.uint8)[:, None].repeat(3, axis=1)
    sample = pixels[:: max(1, len(pixels) // _SAMPLE_PIXELS)]
    quantised = Image.fromarray(sample[None]).quantize(count, method=Image.Quantize.MEDIANCUT)
    found = np.array(quantised.getpalette(), dtype=np.uint8).reshape(-1, 3)[:count]
    return np.concatenate([found, found[-1:].repeat(count - len(found), axis=0)])
