"""Class colours for colour-blind viewers, the two themes, and the Oklab space in which colours are compared."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
"""Red, green and blue of sRGB, 0..255."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a light or dark film.

    Attributes:
        card: background of the points.
        page: background of everything else.
        ink: primary text, the loss curve, rings.
        muted: secondary text.
        line: borders and axes.
        accent: the accuracy curve.
        warning: wrong predictions.
        dark: True for a dark theme, in which lighter colours replace the two darkest of the first ten.
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
"""Themes by the values of `render.theme`."""

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
"""The first ten class colours of the light theme: eight after Okabe and Ito with larger differences, and two more.

The minimum CIE76 difference of two colours under full colour vision, protanopia and deuteranopia is at least 22 for the
first eight (17 for the colours of Okabe and Ito with dark grey for black), and at least 18 for all ten.
"""

_BLACK, _NEARLY_WHITE = 7, (232, 232, 236)
"""Index of the nearly black class colour, and the colour that replaces it in a dark theme."""

_TOO_DARK, _DEEP = 8, (146, 104, 226)
"""Index of the deep violet class colour, and the colour that replaces it in a dark theme."""

MAX_CLASSES = 200

_SRGB_LINEAR_TO = 0.04045
"""Upper end of the linear part of the sRGB transfer function (IEC 61966-2-1)."""

# Full colour vision, protanopia and deuteranopia: matrices of Machado et al. 2009 at severity 1.0, for linear RGB.
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

# Matrices of Oklab (Ottosson 2020): linear RGB to cone responses; cube roots of these to lightness and two opponents.
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
    """Choose a colour for each class.

    The first ten colours are fixed. Each further colour maximises its distance to the colours before (greedy
    farthest-point selection from a grid). The distance is the minimum of the Oklab distances under full colour vision,
    protanopia and deuteranopia. The colour of a class does not depend on the number of classes.

    Args:
        count: number of classes, 1 to 200. Successive colours differ, but many of the colours beyond ten look similar.
        theme: a dark theme replaces the two darkest of the first ten colours by lighter colours.

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
    """Convert sRGB to Oklab, in which equal distances are about equal perceived differences.

    Args:
        rgb: (..., 3) uint8 sRGB.

    Returns:
        (..., 3) float64: lightness 0..1, green-red and blue-yellow.

    References:
        Ottosson 2020, https://bottosson.github.io/posts/oklab/.
    """
    return _linear_to_oklab(_to_linear(rgb))


def mix(front: Color, back: Color, share: float) -> Color:
    """Mix two colours linearly in sRGB: `share` (0..1) of `front`, the rest of `back`."""
    red, green, blue = (round(b + (f - b) * share) for f, b in zip(front, back, strict=True))
    return red, green, blue


def _to_linear(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    value = rgb / 255.0
    return np.asarray(np.where(value <= _SRGB_LINEAR_TO, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))


def _linear_to_oklab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    lab: NDArray[np.float64] = np.cbrt(linear @ _CONES.T) @ _OPPONENTS.T
    return lab


def _seen(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Oklab coordinates of M colours under full colour vision, protanopia and deuteranopia: (3, M, 3)."""
    linear = _to_linear(rgb)
    return _linear_to_oklab(np.clip(linear @ _VISIONS.transpose(0, 2, 1), 0.0, 1.0))


def _first_colors(theme: Theme) -> NDArray[np.uint8]:
    colors = np.array(FIRST_COLORS, dtype=np.uint8)
    if theme.dark:
        colors[_BLACK], colors[_TOO_DARK] = _NEARLY_WHITE, _DEEP
    return colors


@cache
def _spread_colors(theme: Theme) -> NDArray[np.uint8]:
    """Select (200, 3) uint8 colours: the first ten, then greedy farthest points of an RGB grid.

    The grid has no colours close to the card and no greys. Its limits of lightness and chroma are chosen by hand; not
    measured.
    """
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
    """Distances of M colours to a colour, each the minimum over the three kinds of colour vision: (M,)."""
    difference = seen - _seen(color[None])
    worst: NDArray[np.float64] = np.linalg.norm(difference, axis=-1).min(axis=0)
    return worst
