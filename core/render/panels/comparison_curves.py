"""The curve panel of a comparison: the accuracy of each run over its film, from the first frame to the last."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.draw.colors import Color, Theme, mix
from core.render.page.run_page import Page
from core.render.panels.curve import FUTURE, Panel, add_axes, hex_of, set_accuracy

_DASHES = ("solid", "solid", "solid", (0, (2.5, 1.5)))


@dataclass(frozen=True, slots=True)
class AccuracyPanel(Panel):
    """Position of the accuracy panel on a frame; the horizontal axis is the fraction of the film, 0..1.

    Attributes:
        accuracy: for each run (T,) float64, 0..1, NaN where accuracy was not measured; T may differ between runs.
        begins: for each run the fractions of its film at which its phases begin, the first phase left out.
    """

    accuracy: Sequence[NDArray[np.float64]]
    begins: Sequence[Sequence[float]]

    def x(self, share: float) -> float:
        """Pixel column of a fraction of the film, 0..1."""
        return self.left + (self.right - self.left) * share

    def y(self, accuracy: float) -> float:
        """Pixel row of an accuracy, 0..1."""
        return self.bottom + (self.top - self.bottom) * accuracy


def place_accuracy(
    page: Page, accuracy: Sequence[NDArray[np.float64]], begins: Sequence[Sequence[float]]
) -> AccuracyPanel:
    """Place the axes in the page's `curve` box, with margins for the heading and the percent labels.

    Args:
        page: layout of one panel of the comparison; all panels have the same `curve` box.
        accuracy: for each run (T,) float64, 0..1, NaN where accuracy was not measured.
        begins: for each run the fractions of its film at which its phases begin, the first phase left out.

    Returns:
        The position of the axes on the frame.
    """
    box, scale = page.curve, page.scale
    return AccuracyPanel(
        left=box.left + round(42 * scale),
        right=box.right - round(8 * scale),
        top=box.top + round(26 * scale),
        bottom=box.bottom - round(22 * scale),
        accuracy=accuracy,
        begins=begins,
    )


def colors_of(theme: Theme) -> tuple[Color, ...]:
    """Colours of up to four runs; none is a class colour."""
    return theme.ink, theme.accent, theme.warning, theme.muted


class AccuracyArtists:
    """Accuracies on a matplotlib figure. `show` switches between full colour (past) and pale colour (future)."""

    def __init__(self, figure: Figure, page: Page, panel: AccuracyPanel, theme: Theme) -> None:
        axes = add_axes(figure, panel, theme, page.scale)
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        set_accuracy(axes)
        self._theme, self._lines = theme, []
        line = 2.0 * page.scale * 72.0 / figure.dpi
        for color, dashes, accuracy, begins in zip(
            colors_of(theme), _DASHES, panel.accuracy, panel.begins, strict=False
        ):
            at = np.linspace(0, 1, len(accuracy))
            drawn = axes.plot(at, accuracy, linewidth=line, linestyle=dashes)[0]
            marks = [axes.axvline(share, linewidth=0.6 * line, linestyle=(0, (4, 3))) for share in begins]
            self._lines.append((color, [drawn, *marks]))

    def show(self, *, strong: bool) -> None:
        """Colour the lines.

        Args:
            strong: True for the past (full colour), False for the future (pale).
        """
        for color, artists in self._lines:
            for artist in artists:
                artist.set_color(hex_of(mix(color, self._theme.page, 1.0 if strong else FUTURE)))
