"""Class colours that colour-blind people can distinguish, and the perceptual colour space for comparisons."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
"""sRGB values, 0..255."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a film except class colours.

    Attributes:
        card: background of the points.
        page: background of everything else.
        ink: main text, the loss curve, rings.
        muted: secondary text.
        line: borders and axes.
        accent: the accuracy curve. No class colour is similar.
        warning: wrong predictions.
        dark: True for a dark theme. The two darkest class colours are then light.
    """

    card: Color
    page: Color
    ink: Color
    muted: Color
    line: Color
    accent: Color
    warning: Color
    dark: bool


LIGHT = Theme(
    card=(255, 255, 255),
    page=(247, 246, 243),
    ink=(29, 33, 41),
    muted=(112, 117, 127),
    line=(226, 225, 221),
    accent=(124, 77, 196),
    warning=(176, 42, 48),
    dark=False,
)
DARK = Theme(
    card=(18, 21, 27),
    page=(29, 33, 41),
    ink=(236, 237, 240),
    muted=(154, 160, 171),
    line=(62, 68, 79),
    accent=(178, 145, 240),
    warning=(255, 138, 128),
    dark=True,
)
THEMES = {"light": LIGHT, "dark": DARK}
"""All themes, by their name in `render.theme`."""

FIRST_COLORS: tuple[Color, ...] = (
    (0, 104, 192),
    (224, 138, 0),
    (29, 181, 124),
    (174, 60, 0),
    (116, 189, 250),
    (181, 101, 155),
    (242, 220, 26),
    (36, 34, 46),
    (75, 26, 134),
    (123, 70, 56),
)
"""The colours of the first ten classes: Okabe and Ito's eight colours with larger differences, and two more.

The smallest CIE76 difference of two of the first eight, over full colour vision, protanopia and deuteranopia, is 22. It
is 17 for the original colours with a dark grey for black. For all ten it is 18.
"""

_BLACK, _NEARLY_WHITE = 7, (232, 232, 236)
"""Index of the colour that is nearly black, and its replacement in a dark theme."""

_TOO_DARK, _DEEP = 8, (146, 104, 226)
"""Index of the dark violet, and its replacement in a dark theme."""

MAX_CLASSES = 200
"""Largest number of class colours, equal to the limit of `core.domain.fitting`."""

_SRGB_LINEAR_TO = 0.04045

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
_VISIONS = np.array(
    [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ]
)

# Ottosson's Oklab: linear RGB to cone-like responses, and their cube roots to lightness and two opponents.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def class_colors(count: int, theme: Theme = LIGHT) -> NDArray[np.uint8]:
    """Return a colour for each class.

    The first ten colours are fixed. Each further colour has the largest possible distance to all colours before it. The
    distance is the smallest Oklab distance under full colour vision, protanopia and deuteranopia. The colour of a class
    does not depend on the number of classes.

    Args:
        count: number of classes, 1 to 200. With many classes, colours differ but are hard to distinguish.
        theme: the theme. In a dark theme, the two darkest colours are replaced by light ones.

    Returns:
        (count, 3) uint8 sRGB.

    Raises:
        ValueError: `count` is below 1 or above 200.

    References:
        Okabe and Ito, https://jfly.uni-koeln.de/color/; Machado et al. 2009, doi:10.1109/TVCG.2009.113;
        Ottosson 2020, https://bottosson.github.io/posts/oklab/.

    >>> class_colors(2).tolist()
    [[0, 104, 192], [224, 138, 0]]
    """
    if not 1 <= count <= MAX_CLASSES:
        raise ValueError(f"There are colours for 1 to {MAX_CLASSES} classes, not for {count}.")
    first = _first_colors(theme)
    if count <= len(first):
        return first[:count]
    return _spread_colors(theme)[:count].copy()


def to_oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return Oklab coordinates, in which equal distances look about equal.

    Args:
        rgb: (..., 3) uint8 sRGB.

    Returns:
        (..., 3): lightness 0..1, green-red and blue-yellow.
    """
    return _linear_to_oklab(_to_linear(rgb))


def mix(front: Color, back: Color, share: float) -> Color:
    """Return the mixture of two colours: `front` with the weight `share` (0..1) over `back`."""
    red, green, blue = (round(b + (f - b) * share) for f, b in zip(front, back, strict=True))
    return red, green, blue


def _to_linear(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    value = rgb / 255.0
    return np.asarray(np.where(value <= _SRGB_LINEAR_TO, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))


def _linear_to_oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    lab: NDArray[np.float64] = np.cbrt(linear @ _CONES.T) @ _OPPONENTS.T
    return lab


def _seen(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (3, M, 3) Oklab coordinates under full colour vision, protanopia and deuteranopia."""
    linear = _to_linear(rgb)
    return _linear_to_oklab(np.clip(linear @ _VISIONS.transpose(0, 2, 1), 0.0, 1.0))


def _first_colors(theme: Theme) -> NDArray[np.uint8]:
    colors = np.array(FIRST_COLORS, dtype=np.uint8)
    if theme.dark:
        colors[_BLACK], colors[_TOO_DARK] = _NEARLY_WHITE, _DEEP
    return colors


@cache
def _spread_colors(theme: Theme) -> NDArray[np.uint8]:
    """Return (200, 3) colours: the first ten, then greedy farthest points of a grid without colours near the card."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, green_red, blue_yellow = np.moveaxis(to_oklab(grid), -1, 0)
    low, high = (0.45, 0.95) if theme.dark else (0.3, 0.86)
    readable = (lightness > low) & (lightness < high) & (np.hypot(green_red, blue_yellow) > 0.04)  # noqa: PLR2004
    grid = grid[readable]
    seen = _seen(grid)

    chosen = list(_first_colors(theme))
    nearest = np.full(len(grid), np.inf)
    for color in chosen:
        nearest = np.minimum(nearest, _distance(seen, color))
    while len(chosen) < MAX_CLASSES:
        chosen.append(grid[int(nearest.argmax())])
        nearest = np.minimum(nearest, _distance(seen, chosen[-1]))
    return np.array(chosen, dtype=np.uint8)


def _distance(seen: NDArray[np.float64], color: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (M,) distances of colours to one colour: the smallest over the three kinds of vision."""
    difference = seen - _seen(color[None])
    worst: NDArray[np.float64] = np.linalg.norm(difference, axis=-1).min(axis=0)
    return worst
