"""The panel below a comparison: each run's accuracy, from the beginning of its film to its end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.render.colors import Color, Theme, mix
from core.render.curve import hex_of
from core.render.page import Page

_FUTURE = 0.35
"""How strong a line is where the film has not come to yet."""
_DASHES = ("solid", "solid", "solid", (0, (2.5, 1.5)))


@dataclass(frozen=True, slots=True)
class AccuracyPanel:
    """The drawn panel's place on the frame.

    Attributes:
        left: pixel of the films' beginning.
        right: pixel of their end.
        top: pixel row of 100 %.
        bottom: pixel row of 0 %.
        accuracy: (T,) of each run, 0..1, NaN where it was not measured; T need not be the same.
        begins: where each run's later phases begin, as shares of its film.
    """

    left: float
    right: float
    top: float
    bottom: float
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
        width, height, pixel = page.width, page.height, 72.0 / figure.dpi
        axes = figure.add_axes(
            (
                panel.left / width,
                1.0 - panel.bottom / height,
                (panel.right - panel.left) / width,
                (panel.bottom - panel.top) / height,
            ),
            facecolor=hex_of(theme.page),
        )
        _tidy(axes, page, theme, pixel)
        self._theme, self._lines = theme, []
        line = 2.0 * page.scale * pixel
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
                artist.set_color(hex_of(mix(color, self._theme.page, 1.0 if strong else _FUTURE)))


def _tidy(axes: Axes, page: Page, theme: Theme, pixel: float) -> None:
    """Muted ticks, a base line, two faint lines across, no box."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([])
    axes.set_yticks([0.0, 0.5, 1.0], ["0 %", "50 %", "100 %"])
    size = max(9.0, 10.5 * page.scale) * pixel
    axes.tick_params(length=0, labelsize=size, labelcolor=hex_of(theme.muted), pad=7 * page.scale * pixel)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(hex_of(theme.line))
        spine.set_linewidth(pixel)
    axes.grid(visible=True, axis="y", color=hex_of(mix(theme.line, theme.page, 0.7)), linewidth=pixel)
    axes.set_axisbelow(True)
