"""Functions that write text, rectangles and images into an index image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.draw.box import Box
from core.draw.palette import COVERAGE_STEPS, SIZE, Palette
from core.draw.text import Style, measure, set_line


@dataclass(frozen=True, slots=True)
class TextColors:
    """For each pair of text colour and background: (256,) uint8 palette indices by coverage, 0..255.

    The background is the page, or the card if the name says so.
    """

    ink: NDArray[np.uint8]
    muted: NDArray[np.uint8]
    accent: NDArray[np.uint8]
    warning: NDArray[np.uint8]
    ink_on_card: NDArray[np.uint8]
    muted_on_card: NDArray[np.uint8]


def mix_text_colors(palette: Palette) -> TextColors:
    """Mix all text colours of a film from its palette."""
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
    """Sample (256,) palette indices by coverage at 0 to 8 eighths: (1, 9) uint8, for `core.draw.marks`."""
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
    """Write a line of text; parts outside the frame are cut off.

    Args:
        frame: (H, W) uint8 index image, changed in place.
        text: one line.
        at: pixel column of the line's start, centre or end (see `align`), and pixel row of the baseline.
        style: size and weight.
        ink: (256,) uint8 palette indices by coverage; index 0 is the background, which fills a halo.
        align: part of the line that is at the column.
        halo: width of the background around the strokes, pixels; 0 means no halo.

    Returns:
        Pixel column at which a text after this text starts.
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
    """Fill a rectangle with one palette index."""
    frame[box.top : box.bottom, box.left : box.right] = index


def paste(frame: NDArray[np.uint8], image: NDArray[np.uint8], *, left: int, top: int) -> None:
    """Copy an (h, w) index image into the frame; the image must be inside the frame."""
    frame[top : top + image.shape[0], left : left + image.shape[1]] = image


def lay(
    frame: NDArray[np.uint8],
    coverage: NDArray[np.uint8] | NDArray[np.bool_],
    left: int,
    top: int,
    ink: NDArray[np.uint8],
) -> None:
    """Write a coverage mask in a colour; parts outside the frame are cut off.

    Args:
        frame: (H, W) uint8 index image, changed in place.
        coverage: (h, w) uint8 coverage, 0..255, or (h, w) bool.
        left: pixel column of the mask's left edge; may be negative.
        top: pixel row of the mask's upper edge; may be negative.
        ink: (256,) uint8 palette indices by coverage. A bool mask is written with the first index.
    """
    clip_top, clip_left = max(0, -top), max(0, -left)
    coverage = coverage[clip_top : frame.shape[0] - top, clip_left : frame.shape[1] - left]
    top, left = max(0, top), max(0, left)
    under = frame[top : top + coverage.shape[0], left : left + coverage.shape[1]]
    values = ink[0] if coverage.dtype == np.bool_ else ink[coverage]
    np.copyto(under, values, where=coverage > 0)
