"""The panel under the points: how loss and accuracy went, and where the film is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts, TrainingLog
from core.render.colors import Color, Theme, mix
from core.render.page import Page

_SMOOTHED_OVER = 40
_SPIKE_QUANTILE = 0.98
_SPIKE_FACTOR = 1.5
_FEW_ROWS = 60
PHASE_LINE = 14
"""Pixels at the usual size between heading and panel, for the names of phases."""


@dataclass(frozen=True, slots=True)
class Series:
    """A measured curve, without its gaps.

    Attributes:
        step: (L,) float64, rising.
        value: (L,) float64, as measured.
        trend: (L,) float64, a moving mean of `value`; the same array where that needs none.
    """

    step: NDArray[np.float64]
    value: NDArray[np.float64]
    trend: NDArray[np.float64]

    def at(self, step: float) -> float | None:
        """The trend at a step, linear between measurements; None where nothing was measured."""
        return float(np.interp(step, self.step, self.trend)) if len(self.step) else None


@dataclass(frozen=True, slots=True)
class Curves:
    """What the panel shows.

    Attributes:
        loss: training loss, or the probe set's where no training loss was logged.
        loss_name: which of the two it is.
        accuracy: share of probe images predicted right, 0..1.
        last_step: right end of the step axis, at least 1.
        top: upper end of the loss axis, above 0.
        phases: where the training's phases begin, and their names; none where there is only one.
    """

    loss: Series
    loss_name: str
    accuracy: Series
    last_step: int
    top: float
    phases: tuple[tuple[int, str], ...] = ()


def read_curves(log: TrainingLog, embedded: Sequence[FrameFacts], *, phases: Sequence[tuple[int, str]] = ()) -> Curves:
    """Take from the log and the frames what is a number; either may be NaN throughout."""
    steps = np.array([facts.step for facts in embedded])
    loss, name = _series(log.step, log.loss), "training loss"
    if not len(loss.step):
        loss, name = _series(steps, np.array([facts.loss for facts in embedded])), "probe loss"
    accuracy = _series(steps, np.array([facts.accuracy for facts in embedded]), smooth=False)
    last = max([1, *steps.tolist(), *log.step.tolist()])
    told = tuple(phases) if len(phases) > 1 else ()
    return Curves(loss, name, accuracy, last, top_of(loss.value, loss.trend), told)


def top_of(value: NDArray[np.float64], trend: NDArray[np.float64]) -> float:
    """Upper end of the loss axis: all there is, unless single spikes would flatten the rest.

    >>> top_of(np.array([2.0, 1.0, 1.0]), np.array([2.0, 1.0, 1.0])) > 2.0
    True
    """
    if not len(value):
        return 1.0
    usual = max(float(np.quantile(value, _SPIKE_QUANTILE)), float(np.quantile(trend, _SPIKE_QUANTILE)))
    highest = float(value.max())
    top = usual if highest > _SPIKE_FACTOR * usual else highest
    return top * 1.06 if top > 0 else 1.0


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """The drawn panel's place on the frame.

    Attributes:
        left: pixel of step 0.
        right: pixel of the last step.
        top: pixel row of the axis's upper end.
        bottom: pixel row of loss 0.
        curves: what is drawn.
    """

    left: float
    right: float
    top: float
    bottom: float
    curves: Curves

    def x(self, step: float) -> float:
        """Pixel column of a step."""
        return self.left + (self.right - self.left) * min(step / self.curves.last_step, 1.0)

    def y(self, share: float) -> float:
        """Pixel row of a share of the axis's height, kept on the axis."""
        return self.bottom + (self.top - self.bottom) * min(max(share, 0.0), 1.0)


def place_panel(page: Page, curves: Curves) -> CurvePanel:
    """Leave room for the heading above, loss at the left, per cent at the right and steps below."""
    box, scale = page.curve, page.scale
    return CurvePanel(
        left=box.left + round(34 * scale),
        right=box.right - round(42 * scale),
        top=box.top + round((26 + (PHASE_LINE if curves.phases else 0)) * scale),
        bottom=box.bottom - round(22 * scale),
        curves=curves,
    )


class CurveArtists:
    """The panel on a matplotlib figure, once as the future (light), once as the past (strong)."""

    def __init__(self, figure: Figure, page: Page, panel: CurvePanel, theme: Theme) -> None:
        self._theme = theme
        width, height = page.width, page.height
        place = (
            panel.left / width,
            1.0 - panel.bottom / height,
            (panel.right - panel.left) / width,
            (panel.bottom - panel.top) / height,
        )
        curves, pixel = panel.curves, 72.0 / figure.dpi
        loss = figure.add_axes(place, facecolor=_hex(theme.page))
        loss.set_xlim(0, curves.last_step)
        loss.set_ylim(0, curves.top)
        accuracy = loss.twinx()
        accuracy.set_ylim(0, 1)
        _tidy(loss, accuracy, page, panel, theme)
        for step, _name in curves.phases[1:]:
            dashes = (0, (4, 3))
            loss.axvline(step, color=_hex(theme.muted), linewidth=1.2 * page.scale * pixel, linestyle=dashes)

        line = 2.0 * page.scale * pixel
        self._raw = loss.plot(curves.loss.step, curves.loss.value, linewidth=line * 0.5, antialiased=True)[0]
        self._loss = loss.plot(curves.loss.step, curves.loss.trend, linewidth=line)[0]
        self._accuracy = accuracy.plot(curves.accuracy.step, curves.accuracy.value, linewidth=line)[0]

    def show(self, *, strong: bool) -> None:
        """Colour the lines as the past or as the future."""
        share, theme = 1.0 if strong else 0.35, self._theme
        self._loss.set_color(_hex(mix(theme.ink, theme.page, share)))
        self._raw.set_color(_hex(mix(theme.ink, theme.page, share * 0.3)))
        self._accuracy.set_color(_hex(mix(theme.accent, theme.page, share)))


def _tidy(loss: Axes, accuracy: Axes, page: Page, panel: CurvePanel, theme: Theme) -> None:
    """Muted ticks, a base line, two faint lines across, no box."""
    pixel = 72.0 / loss.figure.dpi
    size = max(9.0, 10.5 * page.scale) * pixel
    n_steps = max(2, int((panel.right - panel.left) / (70 * page.scale)))
    n_values = max(1, min(4, int((panel.bottom - panel.top) / (26 * page.scale))))
    loss.xaxis.set_major_locator(MaxNLocator(n_steps, integer=True, steps=[1, 2, 2.5, 5, 10]))
    loss.yaxis.set_major_locator(MaxNLocator(n_values, steps=[1, 2, 2.5, 5, 10]))
    loss.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}" if step else "step 0"))
    accuracy.set_yticks([0.0, 0.5, 1.0], ["0 %", "50 %", "100 %"])
    for axes in (loss, accuracy):
        axes.tick_params(length=0, labelsize=size, labelcolor=_hex(theme.muted), pad=7 * page.scale * pixel)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(_hex(theme.line))
            spine.set_linewidth(pixel)
    loss.grid(visible=True, axis="y", color=_hex(mix(theme.line, theme.page, 0.7)), linewidth=pixel)
    loss.set_axisbelow(True)


def _series(step: NDArray[np.generic], value: NDArray[np.generic], *, smooth: bool = True) -> Series:
    measured = np.isfinite(value.astype(np.float64))
    steps, values = step[measured].astype(np.float64), value[measured].astype(np.float64)
    return Series(steps, values, _moving_mean(values) if smooth and len(values) > _FEW_ROWS else values)


def _moving_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred, over a fortieth of the curve; shorter at its ends, so that these stay where they are."""
    reach = np.minimum(np.arange(len(values)), np.arange(len(values))[::-1])
    reach = np.minimum(reach, max(1, len(values) // (2 * _SMOOTHED_OVER)))
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    mean: NDArray[np.float64] = (total[index + reach + 1] - total[index - reach]) / (2 * reach + 1)
    return mean


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
