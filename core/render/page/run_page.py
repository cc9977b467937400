"""The layout of a frame: a box for each panel, for sides from 320 to 2160 pixels.

All proportions and minimum sizes are chosen by hand; not measured.
"""

from dataclasses import dataclass

from core.draw.box import Box, measures

_WIDE = 1.2
"""A frame whose width / height exceeds this value has its panels right of the plot."""
_TALL = 0.75
"""A frame whose width / height is below this value has its panels below the plot."""


@dataclass(frozen=True, slots=True)
class Page:
    """The boxes of a frame. They do not overlap, except that `caption` is a part of `plot`.

    Attributes:
        width: width of the frame, pixels.
        height: height of the frame, pixels.
        scale: size of text and marks, 1.0 at 960 pixels, with a lower limit that keeps text readable.
        name: name of the run.
        stats: step, epoch and accuracy.
        plot: the points.
        caption: strip for captions at the upper edge of `plot`; height 0 if captions are off.
        legend: class names.
        leaderboard: the highest outlier scores; height 0 if the leaderboard is off.
        curve: loss and accuracy.
        card: quality card; height 0 if the card is off.
    """

    width: int
    height: int
    scale: float
    name: Box
    stats: Box
    plot: Box
    caption: Box
    legend: Box
    leaderboard: Box
    curve: Box
    card: Box


def arrange(
    width: int, height: int, *, n_classes: int, leaderboard: int, captions: bool = False, card: bool = False
) -> Page:
    """Divide a frame into boxes: panels right of the plot in a wide frame, below the plot in a tall frame.

    Args:
        width: pixels, 320 to 2160.
        height: pixels, 320 to 2160.
        n_classes: number of names in the legend.
        leaderboard: rows of the leaderboard, 0 to 12; 0 means no leaderboard.
        captions: True for a strip for captions.
        card: True for a panel with the quality card.

    Returns:
        The boxes.
    """
    scale, inner, gap = measures(width, height)
    name, stats, rest = _head(inner, scale, gap)
    aspect = rest.width / rest.height
    divide = _wide if aspect > _WIDE and rest.width >= 700 * scale else _tall if aspect < _TALL else _square
    plot, legend, board, curve = divide(rest, scale, gap, n_classes, leaderboard)
    caption = plot.first(round(24 * scale) if captions else 0)
    curve, panel = _share(curve, scale, gap) if card else (curve, curve.first(0))
    return Page(width, height, scale, name, stats, plot, caption, legend, board, curve, panel)


Panels = tuple[Box, Box, Box, Box]


def _share(curve: Box, scale: float, gap: int) -> tuple[Box, Box]:
    """Divide the curve's box. The quality card is at the right of a wide box, and the last line of any other box."""
    if curve.width >= 560 * scale and curve.height >= 110 * scale:
        width = round(230 * scale)
        card = Box(curve.right - width, curve.top, width, curve.height)
        return Box(curve.left, curve.top, curve.width - width - 2 * gap, curve.height), card
    line = round(20 * scale)
    return curve.first(curve.height - line), curve.below(curve.height - line)


def _head(inner: Box, scale: float, gap: int) -> tuple[Box, Box, Box]:
    if inner.width >= 700 * scale:
        height, stats_width = round(58 * scale), round(330 * scale)
        name = Box(inner.left, inner.top, inner.width - stats_width - gap, height)
        stats = Box(inner.right - stats_width, inner.top, stats_width, height)
        return name, stats, inner.below(height + gap)
    name = inner.first(round(38 * scale))
    stats = inner.below(name.height + gap // 3).first(round(22 * scale))
    return name, stats, inner.below(stats.bottom - inner.top + gap * 2 // 3)


def _wide(rest: Box, scale: float, gap: int, n_classes: int, leaderboard: int) -> Panels:
    plot_width = min(round(rest.height * 1.2), round(rest.width * 0.6))
    plot = Box(rest.left, rest.top, plot_width, rest.height)
    gap = round(gap * 1.5)
    left = plot.right + gap
    side = Box(left, rest.top, rest.right - left, rest.height)
    if side.width > 2 * side.height:
        half = (side.width - gap) // 2
        curve = Box(side.right - half, side.top, half, side.height)
        side = Box(side.left, side.top, half, side.height)
    else:
        height = round(min(max(rest.height * 0.3, 110 * scale), 300 * scale))
        curve = Box(side.left, side.bottom - height, side.width, height)
        side = side.first(side.height - height - gap)
    return plot, *_stack(side, scale, gap, n_classes, leaderboard), curve


def _square(rest: Box, scale: float, gap: int, n_classes: int, leaderboard: int) -> Panels:
    height = round(min(max(rest.height * 0.2, 110 * scale), 240 * scale))
    curve = Box(rest.left, rest.bottom - height, rest.width, height)
    share = 0.29 if leaderboard else 0.2
    side_width = round(max(rest.width * share, (205 if leaderboard else 140) * scale))
    above = rest.first(rest.height - height - gap)
    plot = Box(above.left, above.top, above.width - side_width - gap, above.height)
    side = Box(plot.right + gap, above.top, side_width, above.height)
    return plot, *_stack(side, scale, gap, n_classes, leaderboard), curve


def _tall(rest: Box, scale: float, gap: int, n_classes: int, leaderboard: int) -> Panels:
    share = 0.5 if leaderboard else 0.66
    plot = rest.first(min(round(rest.width * 1.2), round(rest.height * share)))
    below = rest.below(plot.height + gap)
    columns = max(1, int(below.width / (112 * scale)))
    rows = -(-n_classes // columns)
    most = round(below.height * (0.28 if leaderboard else 0.5))
    legend = below.first(min(round((rows * 19 + 24) * scale), most))
    below = below.below(legend.height + gap)
    share = 0.34 if leaderboard else 1.0
    curve = below.first(round(min(max(below.height * share, 110 * scale), 260 * scale)))
    board = below.below(curve.height + gap)
    return plot, legend, board if leaderboard else board.first(0), curve


def _stack(side: Box, scale: float, gap: int, n_classes: int, leaderboard: int) -> tuple[Box, Box]:
    """Divide the box beside the plot: the legend above, the leaderboard below."""
    if not leaderboard:
        return side, Box(side.left, side.bottom, side.width, 0)
    columns = max(2, int(side.width / (120 * scale)))
    wanted = round((-(-n_classes // columns) * 19 + 24) * scale)
    legend = side.first(min(wanted, round(side.height * 0.33)))
    return legend, side.below(legend.height + gap)
