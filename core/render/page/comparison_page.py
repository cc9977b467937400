"""The layout of a comparison's frame: a panel for each run, and below them the accuracies and the legend.

All proportions are chosen by hand; not measured.
"""

from core.draw.box import Box, measures
from core.render.page.run_page import Page

_NARROW = 560
"""Width of the foot in pixels at scale 1 below which the legend may take 40 % of the width, otherwise 30 %."""
_TALLEST = 1.15
"""Maximum height of a panel's plot as a multiple of its width; the curves get the remaining height."""


def arrange_panels(width: int, height: int, *, runs: int, n_classes: int) -> list[Page]:
    """Divide the frame of a comparison.

    Args:
        width: pixels, 320 to 2160.
        height: pixels, 320 to 2160.
        runs: number of panels, 2 to 4. The number of columns is chosen for the largest panels.
        n_classes: number of names in the legend.

    Returns:
        A page for each run. The pages differ in `stats` (the panel's heading) and `plot` (the panel's points) only.
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
    """Divide the foot: the curves at the left, the legend at the right."""
    columns = 1 if n_classes * 19 * scale + 24 * scale <= foot.height else 2
    wanted = columns * 130 * scale
    share = 0.4 if foot.width < _NARROW * scale else 0.3
    width = round(min(max(wanted, foot.width * 0.2), foot.width * share))
    left = foot.width - width - 2 * gap
    return Box(foot.left, foot.top, left, foot.height), Box(foot.right - width, foot.top, width, foot.height)


def _cells(box: Box, gap: int, count: int, heading: int) -> list[Box]:
    """Choose the grid with the largest plots.

    Grids whose cells are wide enough for a heading take precedence. A plot is at most 1.15 times as high as it is wide.
    """

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
