"""The panel under the points: how loss and accuracy went, and where the film is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts, TrainingLog
from core.draw.box import Box
from core.draw.colors import Color, Theme, mix
from core.render.page.run_page import Page

_SMOOTHED_OVER = 40
_SPIKE_QUANTILE = 0.98
_SPIKE_FACTOR = 1.5
_FEW_ROWS = 60
FUTURE = 0.35
"""How strong a curve is where the film has not come to yet."""
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
        evaluation: the probe set's loss; the same as `loss` where no training loss was logged.
        accuracy: share of probe images predicted right, 0..1.
        last_step: right end of the step axis, at least 1.
        top: upper end of the loss axis, above 0.
        phases: where the training's phases begin, and their names; none where there is only one.
    """

    loss: Series
    loss_name: str
    evaluation: Series
    accuracy: Series
    last_step: int
    top: float
    phases: tuple[tuple[int, str], ...] = ()


def read_curves(log: TrainingLog, embedded: Sequence[FrameFacts], *, phases: Sequence[tuple[int, str]] = ()) -> Curves:
    """Take from the log and the frames what is a number; either may be NaN throughout."""
    steps = np.array([facts.step for facts in embedded])
    evaluation = _series(steps, np.array([facts.loss for facts in embedded]))
    loss, name = _series(log.step, log.loss), "training loss"
    if not len(loss.step):
        loss, name = evaluation, "probe loss"
    accuracy = _series(steps, np.array([facts.accuracy for facts in embedded]), smooth=False)
    last = max([1, *steps.tolist(), *log.step.tolist()])
    told = tuple(phases) if len(phases) > 1 else ()
    return Curves(loss, name, evaluation, accuracy, last, top_of(loss.value, loss.trend), told)


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
class Panel:
    """Where curves are on a picture.

    Attributes:
        left: pixel column of the axes' left end.
        right: pixel column of their right end.
        top: pixel row of their upper end.
        bottom: pixel row of their lower end, which is 0.
    """

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class CurvePanel(Panel):
    """The drawn panel's place on the frame, from step 0 to the last.

    Attributes:
        curves: what is drawn.
    """

    curves: Curves

    def x(self, step: float) -> float:
        """Pixel column of a step."""
        return self.left + (self.right - self.left) * min(step / self.curves.last_step, 1.0)

    def y(self, share: float) -> float:
        """Pixel row of a share of the axis's height, kept on the axis."""
        return self.bottom + (self.top - self.bottom) * min(max(share, 0.0), 1.0)


def place_panel(box: Box, curves: Curves, scale: float, *, left: int = 34, right: int = 42) -> CurvePanel:
    """Leave room for the heading above, steps below, and the numbers at the sides: usually loss and per cent."""
    return CurvePanel(
        left=box.left + round(left * scale),
        right=box.right - round(right * scale),
        top=box.top + round((26 + (PHASE_LINE if curves.phases else 0)) * scale),
        bottom=box.bottom - round(22 * scale),
        curves=curves,
    )


class CurveArtists:
    """The panel on a matplotlib figure, once as the future (light), once as the past (strong)."""

    def __init__(self, figure: Figure, page: Page, panel: CurvePanel, theme: Theme) -> None:
        self._theme = theme
        curves, line = panel.curves, 2.0 * page.scale * 72.0 / figure.dpi
        loss = add_panel(figure, panel, theme, page.scale)
        set_loss(loss, panel, page.scale, top=curves.top)
        accuracy = loss.twinx()
        set_accuracy(accuracy)
        tidy(accuracy, theme, page.scale)
        self._raw = loss.plot(curves.loss.step, curves.loss.value, linewidth=line * 0.5, antialiased=True)[0]
        self._loss = loss.plot(curves.loss.step, curves.loss.trend, linewidth=line)[0]
        self._accuracy = accuracy.plot(curves.accuracy.step, curves.accuracy.value, linewidth=line)[0]

    def show(self, *, strong: bool) -> None:
        """Colour the lines as the past or as the future."""
        share, theme = 1.0 if strong else FUTURE, self._theme
        self._loss.set_color(hex_of(mix(theme.ink, theme.page, share)))
        self._raw.set_color(hex_of(mix(theme.ink, theme.page, share * 0.3)))
        self._accuracy.set_color(hex_of(mix(theme.accent, theme.page, share)))


def add_axes(figure: Figure, panel: Panel, theme: Theme, scale: float) -> Axes:
    """Axes in the panel's place, with faint lines across."""
    width, height, pixel = *(figure.get_size_inches() * figure.dpi), 72.0 / figure.dpi
    place = (
        panel.left / width,
        1.0 - panel.bottom / height,
        (panel.right - panel.left) / width,
        (panel.bottom - panel.top) / height,
    )
    axes = figure.add_axes(place, facecolor=hex_of(theme.page))
    axes.grid(visible=True, axis="y", color=hex_of(mix(theme.line, theme.page, 0.7)), linewidth=pixel)
    axes.set_axisbelow(True)
    tidy(axes, theme, scale)
    return axes


def add_panel(figure: Figure, panel: CurvePanel, theme: Theme, scale: float) -> Axes:
    """Axes of steps in the panel's place, with a dashed line where a phase begins."""
    axes, pixel = add_axes(figure, panel, theme, scale), 72.0 / figure.dpi
    axes.set_xlim(0, panel.curves.last_step)
    n_steps = max(2, int((panel.right - panel.left) / (70 * scale)))
    axes.xaxis.set_major_locator(MaxNLocator(n_steps, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}" if step else "step 0"))
    for step, _name in panel.curves.phases[1:]:
        axes.axvline(step, color=hex_of(theme.muted), linewidth=1.2 * scale * pixel, linestyle=(0, (4, 3)))
    return axes


def set_loss(axes: Axes, panel: CurvePanel, scale: float, *, top: float, most: int = 4) -> None:
    """A scale from 0 to `top`, of `most` steps or as many as there is room for."""
    axes.set_ylim(0, top)
    n_values = max(1, min(most, int((panel.bottom - panel.top) / (26 * scale))))
    axes.yaxis.set_major_locator(MaxNLocator(n_values, steps=[1, 2, 2.5, 5, 10]))


def set_accuracy(axes: Axes, *, steps: int = 2) -> None:
    """A scale of per cent."""
    shares = [step / steps for step in range(steps + 1)]
    axes.set_ylim(0, 1)
    axes.set_yticks(shares, [f"{share:.0%}".replace("%", " %") for share in shares])


def tidy(axes: Axes, theme: Theme, scale: float) -> None:
    """Muted ticks, a base line, no box."""
    pixel = 72.0 / axes.figure.dpi
    size = max(9.0, 10.5 * scale) * pixel
    axes.tick_params(length=0, labelsize=size, labelcolor=hex_of(theme.muted), pad=7 * scale * pixel)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(hex_of(theme.line))
        spine.set_linewidth(pixel)


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


def hex_of(color: Color) -> str:
    """The colour as matplotlib takes it."""
    return "#{:02x}{:02x}{:02x}".format(*color)
