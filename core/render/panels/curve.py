"""The curve panel of a film: loss and accuracy by step, with a marker at the step of the current frame."""

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
"""The window of the moving mean is about 1 / _SMOOTHED_OVER of the curve. Chosen by hand; not measured."""
_SPIKE_QUANTILE = 0.98
"""Quantile of the loss that is the usual maximum of the axis. Chosen by hand; not measured."""
_SPIKE_FACTOR = 1.5
"""The axis is cut if the highest loss exceeds this multiple of the usual maximum. Chosen by hand; not measured."""
_FEW_ROWS = 60
"""A curve of at most this many measurements is not smoothed. Chosen by hand; not measured."""
FUTURE = 0.35
"""Opacity of a curve right of the marker, 0..1; the left part has opacity 1. Chosen by hand; not measured."""
PHASE_LINE = 14
"""Height of the line with the names of the phases, in pixels at scale 1. The line is between heading and axes."""


@dataclass(frozen=True, slots=True)
class Series:
    """The L finite measurements of a curve.

    Attributes:
        step: (L,) float64, rising.
        value: (L,) float64, as measured.
        trend: (L,) float64, moving mean of `value`; `value` itself if the curve is not smoothed.
    """

    step: NDArray[np.float64]
    value: NDArray[np.float64]
    trend: NDArray[np.float64]

    def at(self, step: float) -> float | None:
        """Interpolate the trend linearly at a step; None for a curve without measurements."""
        return float(np.interp(step, self.step, self.trend)) if len(self.step) else None


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of a training.

    Attributes:
        loss: training loss; the evaluation loss if no training loss was logged.
        loss_name: "training loss" or "probe loss".
        evaluation: mean cross-entropy over the probe set; the same object as `loss` if no training loss was logged.
        accuracy: fraction of probe images that are predicted correctly, 0..1.
        last_step: right end of the step axis, at least 1.
        top: upper end of the loss axis, above 0.
        phases: last step before each phase, and the phase's name; empty for a training of one phase.
    """

    loss: Series
    loss_name: str
    evaluation: Series
    accuracy: Series
    last_step: int
    top: float
    phases: tuple[tuple[int, str], ...] = ()


def read_curves(log: TrainingLog, embedded: Sequence[FrameFacts], *, phases: Sequence[tuple[int, str]] = ()) -> Curves:
    """Collect the finite values of the training log and of the checkpoints.

    Args:
        log: L logged steps; the loss may be NaN everywhere.
        embedded: T checkpoints; loss and accuracy may be NaN everywhere.
        phases: last step before each phase, and the phase's name.

    Returns:
        The curves. The training loss and the evaluation loss are smoothed if they have more than 60 measurements; the
        accuracy is not smoothed.
    """
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
    """Upper end of the loss axis: 1.06 times the maximum, or 1.06 times the 98 % quantile if spikes exceed it by half.

    Args:
        value: (L,) float64, losses, at least 0.
        trend: (L,) float64, moving mean of the losses. The larger quantile of `value` and `trend` counts.

    Returns:
        A loss above 0; 1.0 if there are no losses, or if all are 0.

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
    """Position of axes on a picture, in pixels.

    Attributes:
        left: column of the left end.
        right: column of the right end.
        top: row of the upper end.
        bottom: row of the lower end, at which the value is 0.
    """

    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class CurvePanel(Panel):
    """Position of the curve panel on a frame; its horizontal axis is the step, from 0 to the last.

    Attributes:
        curves: the curves of the panel.
    """

    curves: Curves

    def x(self, step: float) -> float:
        """Pixel column of a step."""
        return self.left + (self.right - self.left) * min(step / self.curves.last_step, 1.0)

    def y(self, share: float) -> float:
        """Pixel row of a fraction of the axis's height; the fraction is clipped to 0..1."""
        return self.bottom + (self.top - self.bottom) * min(max(share, 0.0), 1.0)


def place_panel(box: Box, curves: Curves, scale: float, *, left: int = 34, right: int = 42) -> CurvePanel:
    """Place the axes in a box, with margins for the heading, the steps and the tick labels.

    Args:
        box: box of the panel, heading included.
        curves: the curves of the panel.
        scale: size of text and marks.
        left: margin for tick labels, in pixels at scale 1.
        right: margin for tick labels, in pixels at scale 1.

    Returns:
        The position of the axes on the frame.
    """
    return CurvePanel(
        left=box.left + round(left * scale),
        right=box.right - round(right * scale),
        top=box.top + round((26 + (PHASE_LINE if curves.phases else 0)) * scale),
        bottom=box.bottom - round(22 * scale),
        curves=curves,
    )


class CurveArtists:
    """Loss and accuracy on a matplotlib figure. `show` switches between full colour (past) and pale colour (future)."""

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
        """Colour the lines.

        Args:
            strong: True for the past (full colour), False for the future (pale).
        """
        share, theme = 1.0 if strong else FUTURE, self._theme
        self._loss.set_color(hex_of(mix(theme.ink, theme.page, share)))
        self._raw.set_color(hex_of(mix(theme.ink, theme.page, share * 0.3)))
        self._accuracy.set_color(hex_of(mix(theme.accent, theme.page, share)))


def add_axes(figure: Figure, panel: Panel, theme: Theme, scale: float) -> Axes:
    """Add axes with pale horizontal grid lines at the panel's position."""
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
    """Add axes over the steps, with a dashed vertical line at the start of each phase but the first."""
    axes, pixel = add_axes(figure, panel, theme, scale), 72.0 / figure.dpi
    axes.set_xlim(0, panel.curves.last_step)
    n_steps = max(2, int((panel.right - panel.left) / (70 * scale)))
    axes.xaxis.set_major_locator(MaxNLocator(n_steps, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}" if step else "step 0"))
    for step, _name in panel.curves.phases[1:]:
        axes.axvline(step, color=hex_of(theme.muted), linewidth=1.2 * scale * pixel, linestyle=(0, (4, 3)))
    return axes


def set_loss(axes: Axes, panel: CurvePanel, scale: float, *, top: float, most: int = 4) -> None:
    """Set the loss axis.

    Args:
        axes: axes of the loss, changed in place.
        panel: position of the axes.
        scale: size of text and marks.
        top: upper end of the axis; the lower end is 0.
        most: maximum number of tick intervals; a low panel has fewer.
    """
    axes.set_ylim(0, top)
    n_values = max(1, min(most, int((panel.bottom - panel.top) / (26 * scale))))
    axes.yaxis.set_major_locator(MaxNLocator(n_values, steps=[1, 2, 2.5, 5, 10]))


def set_accuracy(axes: Axes, *, steps: int = 2) -> None:
    """Set an axis from 0 % to 100 % with `steps` equal tick intervals."""
    shares = [step / steps for step in range(steps + 1)]
    axes.set_ylim(0, 1)
    axes.set_yticks(shares, [f"{share:.0%}".replace("%", " %") for share in shares])


def tidy(axes: Axes, theme: Theme, scale: float) -> None:
    """Style axes: muted tick labels, no tick marks, and only the bottom spine."""
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
    """Centred moving mean over about 1 / 40 of the values. The window shrinks at both ends, so the end values stay."""
    reach = np.minimum(np.arange(len(values)), np.arange(len(values))[::-1])
    reach = np.minimum(reach, max(1, len(values) // (2 * _SMOOTHED_OVER)))
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    mean: NDArray[np.float64] = (total[index + reach + 1] - total[index - reach]) / (2 * reach + 1)
    return mean


def hex_of(color: Color) -> str:
    """Format an sRGB colour as `#rrggbb` for matplotlib."""
    return "#{:02x}{:02x}{:02x}".format(*color)
