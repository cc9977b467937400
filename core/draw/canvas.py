"""An index image and the means to write on it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.draw.box import Box
from core.draw.palette import COVERAGE_STEPS, SIZE, Palette
from core.draw.text import Style, measure, set_line


@dataclass(frozen=True, slots=True)
class TextColors:
    """(256,) uint8 each: the palette's index at each 8-bit coverage, by colour and what is behind it."""

    ink: NDArray[np.uint8]
    muted: NDArray[np.uint8]
    accent: NDArray[np.uint8]
    warning: NDArray[np.uint8]
    ink_on_card: NDArray[np.uint8]
    muted_on_card: NDArray[np.uint8]


def mix_text_colors(palette: Palette) -> TextColors:
    """All inks of a film, from its palette."""
    theme = palette.theme
    return TextColors(
        ink=palette.blend(theme.ink, theme.page),
        muted=palette.blend(theme.muted, theme.page),
        accent=palette.blend(theme.accent, theme.page),
        warning=palette.blend(theme.warning, theme.page),
        ink_on_card=palette.blend(theme.ink, theme.card),
        muted_on_card=palette.blend(theme.muted, theme.card),
    )


def in_eighths(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(1, 9) uint8: an ink for stamps."""
    return ink[np.linspace(0, SIZE - 1, COVERAGE_STEPS + 1).round().astype(np.int64)][None]


def write(
    frame: NDArray[np.uint8],
    text: str,
    at: tuple[float, float],
    style: Style,
    ink: NDArray[np.uint8],
    *,
    align: Literal["left", "center", "right"] = "left",
    halo: int = 0,
) -> float:
    """Set a line of text; what would stand outside the frame is cut.

    Args:
        frame: (H, W) uint8 index image, changed in place.
        text: one line.
        at: pixel column that the line starts, is centred or ends at, by `align`, and the pixel row that its
            letters stand on.
        style: size and weight.
        ink: (256,) uint8 palette index by coverage; its first is what a halo is painted with.
        align: which part of the line the column means.
        halo: pixels of background around the strokes, over whatever is there.

    Returns:
        x at which a text behind this one would start.
    """
    x, baseline = at
    pen = x - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * measure(text, style)
    if halo:
        grown = set_line(text, style, halo=halo)
        lay(frame, grown.coverage > SIZE // 2, round(pen) + grown.left, round(baseline) + grown.top, ink[:1])
    mask = set_line(text, style)
    lay(frame, mask.coverage, round(pen) + mask.left, round(baseline) + mask.top, ink)
    return pen + mask.advance


def fill(frame: NDArray[np.uint8], box: Box, index: int) -> None:
    """Paint a rectangle in one colour."""
    frame[box.top : box.bottom, box.left : box.right] = index


def paste(frame: NDArray[np.uint8], image: NDArray[np.uint8], *, left: int, top: int) -> None:
    """Lay a (h, w) index image over the frame, which must hold it whole."""
    frame[top : top + image.shape[0], left : left + image.shape[1]] = image


def lay(
    frame: NDArray[np.uint8],
    coverage: NDArray[np.uint8] | NDArray[np.bool_],
    left: int,
    top: int,
    ink: NDArray[np.uint8],
) -> None:
    """Write `ink` where there is coverage, cut at the frame's sides; a boolean mask takes the ink's first colour."""
    clip_top, clip_left = max(0, -top), max(0, -left)
    coverage = coverage[clip_top : frame.shape[0] - top, clip_left : frame.shape[1] - left]
    top, left = max(0, top), max(0, left)
    under = frame[top : top + coverage.shape[0], left : left + coverage.shape[1]]
    values = ink[0] if coverage.dtype == np.bool_ else ink[coverage]
    np.copyto(under, values, where=coverage > 0)
