"""The panel below a comparison: each run's accuracy, from the beginning of its film to its end."""

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
    """The drawn panel's place on the frame, from the films' beginning to their end and from 0 to 100 %.

    Attributes:
        accuracy: (T,) of each run, 0..1, NaN where it was not measured; T need not be the same.
        begins: where each run's later phases begin, as shares of its film.
    """

    accuracy: Sequence[NDArray[np.float64]]
    begins: Sequence[Sequence[float]]

    def x(self, share: float) -> float:
        """Pixel column of a share of the film."""
        return self.left + (self.right - self.left) * share

    def y(self, accuracy: float) -> float:
        """Pixel row of an accuracy."""
        return self.bottom + (self.top - self.bottom) * accuracy


def place_accuracy(
    page: Page, accuracy: Sequence[NDArray[np.float64]], begins: Sequence[Sequence[float]]
) -> AccuracyPanel:
    """Leave room for the heading above and per cent at the left."""
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
    """A colour for each of four runs, that is no class's."""
    return theme.ink, theme.accent, theme.warning, theme.muted


class AccuracyArtists:
    """The panel on a matplotlib figure, once as the future (light), once as the past (strong)."""

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
        """Colour the lines as the past or as the future."""
        for color, artists in self._lines:
            for artist in artists:
                artist.set_color(hex_of(mix(color, self._theme.page, 1.0 if strong else FUTURE)))
