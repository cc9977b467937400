"""Where things are on the frames of a comparison: a panel a run, below them the curves and the classes."""

from core.draw.box import Box, measures
from core.render.page.run_page import Page

_NARROW = 560
"""Pixels at the usual size: where there are fewer, the legend has no place beside the curves."""
_TALLEST = 1.15
"""Height of a card by its width: the curves have what is left."""


def arrange_panels(width: int, height: int, *, runs: int, n_classes: int) -> list[Page]:
    """A page a run, which share all but `stats`, the panel's heading, and `plot`, its card.

    Args:
        width: pixels, 320 to 2160.
        height: pixels, 320 to 2160.
        runs: panels, 2 to 4, in as many rows as make them largest.
        n_classes: names in the legend.
    """
    scale, inner, gap = measures(width, height)
    name = inner.first(round(34 * scale))
    rest = inner.below(name.height + gap // 2)
    below = round(min(max(inner.height * 0.2, 112 * scale), 230 * scale))
    heading = round(40 * scale)
    cells = _cells(rest.first(rest.height - below - gap), gap, runs, heading)
    foot = rest.below(cells[-1].bottom - rest.top + gap)
    curve, legend = _foot(foot, scale, gap, n_classes)
    pages = []
    for cell in cells:
        nothing = cell.first(0)
        pages.append(
            Page(
                width,
                height,
                scale,
                name=name,
                stats=cell.first(heading),
                plot=cell.below(heading),
                caption=nothing,
                legend=legend,
                leaderboard=nothing,
                curve=curve,
                card=nothing,
            )
        )
    return pages


def _foot(foot: Box, scale: float, gap: int, n_classes: int) -> tuple[Box, Box]:
    """The curves, and the legend at their right."""
    columns = 1 if n_classes * 19 * scale + 24 * scale <= foot.height else 2
    wanted = columns * 130 * scale
    share = 0.4 if foot.width < _NARROW * scale else 0.3
    width = round(min(max(wanted, foot.width * 0.2), foot.width * share))
    left = foot.width - width - 2 * gap
    return Box(foot.left, foot.top, left, foot.height), Box(foot.right - width, foot.top, width, foot.height)


def _cells(box: Box, gap: int, count: int, heading: int) -> list[Box]:
    """The grid whose cells have the largest cards and room for a heading; none is much taller than wide."""

    def size(columns: int) -> tuple[int, int]:
        rows = -(-count // columns)
        return (box.width - (columns - 1) * gap) // columns, (box.height - (rows - 1) * gap) // rows

    def worth(columns: int) -> tuple[bool, int]:
        width, height = size(columns)
        return width >= 3 * heading, min(width, height - heading)

    columns = max(range(1, count + 1), key=worth)
    width, height = size(columns)
    height = min(height, heading + round(_TALLEST * width))
    places = (divmod(place, columns) for place in range(count))
    return [
        Box(box.left + column * (width + gap), box.top + row * (height + gap), width, height) for row, column in places
    ]
