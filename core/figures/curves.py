"""The curves of loss and accuracy as a figure: the lower panel of the film in a larger size, with evaluation loss."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.domain.figures import FigureSpec
from core.domain.spec import RenderSpec
from core.draw.box import Box, measures
from core.draw.canvas import mix_text_colors
from core.draw.colors import THEMES, Color, mix
from core.draw.palette import Palette, build_palette
from core.figures.figure import Drawing, FigureInputs, RunFigure
from core.render.panels.background import DPI, write_heading, write_name, write_phases
from core.render.panels.curve import (
    CurvePanel,
    Curves,
    Series,
    add_panel,
    hex_of,
    place_panel,
    read_curves,
    set_accuracy,
    set_loss,
    top_of,
)

_LOSS_SHARE = 0.58
"""Fraction of the height for the loss if the panels are one above the other. Chosen by hand; not measured."""
_ROOMY = 150
"""Least height of an accuracy panel with all its numbers, pixels at scale 1. Chosen by hand; not measured."""
_LEAST_APART = 9
"""Least distance between two dots of measurements, pixels at scale 1. Chosen by hand; not measured."""


def draw_figure(spec: RenderSpec, name: str, curves: Curves) -> tuple[NDArray[np.uint8], Palette]:
    """Draw training and evaluation loss, and the accuracy below or beside them.

    Curves of the training set have the ink colour, curves of the probe set the accent colour.

    Args:
        spec: sides and theme of the film.
        name: name of the run, up to 120 characters.
        curves: the curves.

    Returns:
        (height, width) uint8 palette indices, and the palette.
    """
    theme = THEMES[spec.theme]
    palette = build_palette(1, np.zeros((0, 1, 1, 3), dtype=np.uint8), theme)
    text_colors, (scale, inner, gap) = mix_text_colors(palette), measures(spec.width, spec.height)
    title, boxes = _arrange(inner, scale, gap)
    panels = [place_panel(box, curves, scale, left=46, right=24) for box in boxes]

    figure = Figure(figsize=(spec.width / DPI, spec.height / DPI), dpi=DPI, facecolor=hex_of(theme.page))
    loss, accuracy = (add_panel(figure, panel, theme, scale) for panel in panels)
    width = 2.0 * scale * 72.0 / DPI
    trained = curves.loss is not curves.evaluation
    top = max(curves.top, top_of(curves.evaluation.value, curves.evaluation.value)) if trained else curves.top
    set_loss(loss, panels[0], scale, top=top, most=8)
    set_accuracy(accuracy, steps=5 if panels[1].bottom - panels[1].top > _ROOMY * scale else 2)
    if trained:
        faint = hex_of(mix(theme.ink, theme.page, 0.3))
        loss.plot(curves.loss.step, curves.loss.value, linewidth=width * 0.5, color=faint)
        loss.plot(curves.loss.step, curves.loss.trend, linewidth=width, color=hex_of(theme.ink))
    for axes, series, panel in ((loss, curves.evaluation, panels[0]), (accuracy, curves.accuracy, panels[1])):
        _plot_measured(axes, series, panel, theme.accent, scale)

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    frame = palette.nearest(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]
    write_name(frame, title, scale, text_colors, name)
    of_loss = [(["Training loss"], text_colors.ink)] if trained else []
    if len(curves.evaluation.step) or not trained:
        of_loss.append((["Evaluation loss, on the probe images", "Evaluation loss"], text_colors.accent))
    write_heading(frame, boxes[0], scale, text_colors, of_loss)
    write_heading(
        frame, boxes[1], scale, text_colors, [(["Accuracy on the probe images", "Accuracy"], text_colors.accent)]
    )
    for panel in panels:
        write_phases(frame, panel, scale, text_colors)
    return frame, palette


def _arrange(inner: Box, scale: float, gap: int) -> tuple[Box, tuple[Box, Box]]:
    """Return the boxes of the title, the loss and the accuracy. In a wide figure the last two are side by side."""
    title = inner.first(round(38 * scale))
    rest = inner.below(title.height + gap)
    if rest.width > 2 * rest.height:
        half = (rest.width - gap) // 2
        return title, (
            Box(rest.left, rest.top, half, rest.height),
            Box(rest.right - half, rest.top, half, rest.height),
        )
    loss = rest.first(round((rest.height - gap) * _LOSS_SHARE))
    return title, (loss, rest.below(loss.height + gap))


def _plot_measured(axes: Axes, series: Series, panel: CurvePanel, color: Color, scale: float) -> None:
    """Plot a line, with a dot for each checkpoint if there are not too many. Only spikes above the axis are clipped."""
    pixel, shade = scale * 72.0 / DPI, hex_of(color)
    inside = series.value <= axes.get_ylim()[1]
    axes.plot(series.step, series.value, linewidth=2.0 * pixel, color=shade, clip_on=not inside.all())
    if len(series.step) * _LEAST_APART * scale <= panel.right - panel.left:
        (dots,) = axes.plot(series.step[inside], series.value[inside], "o", color=shade, clip_on=False)
        dots.set(markersize=5.0 * pixel, markeredgewidth=0)


def draw(inputs: FigureInputs) -> Drawing:
    """Draw the curves of a run, with the sides and the theme of its film."""
    run = inputs.run
    curves = read_curves(inputs.log, inputs.checkpoints, phases=run.train.phase_starts)
    frame, palette = draw_figure(run.render, run.name, curves)
    return Drawing(palette, still=lambda: frame)


FIGURE = RunFigure(
    FigureSpec(
        name="curves",
        title="Loss and accuracy",
        shows="Training loss, evaluation loss and accuracy by step, with the start of each phase.",
        formats=("png",),
        reads=("log", "checkpoints"),
        stem="curves",
    ),
    draw,
)
