"""The frames of a comparison: layouts of the same images by several runs, at the same fraction of each run's film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts, ProbeSet, Projection
from core.domain.spec import RenderSpec
from core.draw import colors
from core.draw.box import Box
from core.draw.canvas import fill, mix_text_colors, write
from core.draw.palette import Frame, build_palette
from core.draw.text import CAPITAL, ELLIPSIS, Style, measure, printable, shorten, shorten_each
from core.draw.viewport import fit_viewport
from core.render.page.comparison_page import arrange_panels
from core.render.page.run_page import Page
from core.render.panels.background import paint, write_name
from core.render.panels.comparison_curves import AccuracyArtists, colors_of, place_accuracy
from core.render.panels.legend import draw_legend
from core.render.panels.scatter import Scatter
from core.render.timeline import FilmTime, positions

_SPACE = 0.5
"""Gap between the parts of a heading, as a multiple of the text size."""
_NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Side:
    """A run of a comparison, with T frames of N points. T may differ between runs.

    Attributes:
        name: name of the run.
        model: name of the trained model.
        projection: T layouts of N points, in the coordinate frame of the comparison.
        embedded: T checkpoints, by rising step.
        phases: last step before each phase of the training, and the phase's name.
    """

    name: str
    model: str
    projection: Projection
    embedded: Sequence[FrameFacts]
    phases: Sequence[tuple[int, str]]

    def phase(self, step: int) -> str:
        """Name of the phase of a step; empty for a training of one phase."""
        begun = [name for before, name in self.phases if step > before] or [self.phases[0][1]]
        return begun[-1] if len(self.phases) > 1 else ""

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(T,) float64, accuracy at each checkpoint, 0..1; NaN where accuracy was not measured."""
        return np.array([facts.accuracy for facts in self.embedded], dtype=np.float64)

    @property
    def begins(self) -> list[float]:
        """Fractions of the film at which the phases begin, the first phase left out."""
        steps = [facts.step for facts in self.embedded]
        places = np.linspace(0, 1, len(steps))
        return [float(np.interp(before, steps, places)) for before, _name in self.phases[1:]]


@dataclass(frozen=True, slots=True)
class ComparisonScene:
    """The inputs of a comparison's film.

    Attributes:
        name: title.
        probe: N images with their labels, the same for all runs.
        sides: the runs, 2 to 4.
    """

    name: str
    probe: ProbeSet
    sides: Sequence[Side]


class ComparisonRenderer:
    """Draws the frames of a comparison one at a time. `FrameRenderer` draws the frames of a run.

    Args:
        spec: size, theme and options of the film.
        scene: inputs of the film.

    Attributes:
        palette: palette of the film.
        n_frames: number of frames of the longest run's film.
        pages: layout of each run's panel.
    """

    def __init__(self, spec: RenderSpec, scene: ComparisonScene) -> None:
        self._scene, self._tween = scene, spec.tween
        self.n_frames = max(len(side.embedded) for side in scene.sides)
        names = scene.probe.class_names
        theme = colors.THEMES[spec.theme]
        self.palette = build_palette(len(names), np.zeros((0, 1, 1, 3), dtype=np.uint8), theme)
        self._inks = mix_text_colors(self.palette)
        self._run_inks = [self.palette.blend(color, theme.page) for color in colors_of(theme)]
        self.pages = arrange_panels(spec.width, spec.height, runs=len(scene.sides), n_classes=len(names))
        self._followed = [row for row in spec.trails if row < len(scene.probe.labels)]
        page, points = self.pages[0], np.concatenate([side.projection.points for side in scene.sides])
        viewport = fit_viewport(points, aspect=Scatter.aspect(page))
        self._scatters = [
            Scatter(
                page,
                viewport=viewport,
                labels=scene.probe.labels,
                palette=self.palette,
                text_colors=self._inks,
                caption="",
            )
            for page in self.pages
        ]
        style = _heading_style(page.scale)
        taken = measure("4 100.0 %", style) + (1 + 2 * _SPACE) * style.size
        self._names = shorten_each([printable(side.name) for side in scene.sides], style, page.stats.width - taken)
        self._panel = place_accuracy(
            page, [side.accuracy for side in scene.sides], [side.begins for side in scene.sides]
        )
        self._chrome = paint(self.pages, self.palette, lambda figure: AccuracyArtists(figure, page, self._panel, theme))
        for layer in (self._chrome.future, self._chrome.past):
            write_name(layer, page.name, page.scale, self._inks, scene.name)
            draw_legend(layer, page, self.palette, self._inks, names)
            self._write_words(layer)

    def film(self) -> Iterator[tuple[int | None, Frame]]:
        """Yield every picture with its frame number, or with None between two frames; each is drawn on demand."""
        for index, position in positions(self.n_frames, self._tween):
            yield index, self.draw(position)

    def draw(self, position: float) -> Frame:
        """Draw a picture of the film.

        Args:
            position: 0 to `n_frames` - 1; position / (`n_frames` - 1) is the fraction of each run's film.

        Returns:
            (H, W) uint8 palette indices, a new array.
        """
        frame = self._chrome.future.copy()
        share = position / max(1, self.n_frames - 1)
        moments = [FilmTime.at(share * (len(side.embedded) - 1), len(side.embedded)) for side in self._scene.sides]
        for number, (page, scatter, side, time) in enumerate(
            zip(self.pages, self._scatters, self._scene.sides, moments, strict=True)
        ):
            layout = side.projection
            scatter.draw(
                frame,
                time.between(layout.points),
                _NOBODY,
                explained=float(layout.explained_variance[time.index]),
                trails=time.trails(layout.points, self._followed),
            )
            self._write_heading(frame, page, number, side, time.facts(side.embedded))
        self._draw_position(frame, share, moments)
        return frame

    def _write_words(self, layer: Frame) -> None:
        """Write the heading of the curves, and the labels at both ends of their horizontal axis."""
        page, style = self.pages[0], Style(max(9, round(11 * self.pages[0].scale)))
        box = page.curve
        heading = shorten("Accuracy on the probe images, each run from its beginning to its end", style, box.width)
        write(layer, heading, (box.left, box.top + style.size), style, self._inks.muted)
        low = self._panel.bottom + style.size * 1.25
        write(layer, "beginning", (self._panel.left, low), style, self._inks.muted)
        write(layer, "end", (self._panel.right, low), style, self._inks.muted, align="right")

    def _write_heading(self, frame: Frame, page: Page, number: int, side: Side, facts: FrameFacts) -> None:
        """Write a panel's heading: number in the curve's colour, name, accuracy; below them step, phase and model."""
        box, scale, ink = page.stats, page.scale, self._run_inks[number]
        name, detail = _heading_style(scale), Style(max(9, round(11 * scale)))
        upper, lower = box.top + name.size, box.top + name.size * 1.25 + detail.size
        top, thick = round(upper - name.size * CAPITAL), max(2, round(3 * scale))
        fill(frame, Box(box.left, top, thick, round(lower) - top), int(ink[-1]))
        left = box.left + thick + round(7 * scale)
        start = write(frame, f"{number + 1}", (left, upper), name, ink) + name.size * _SPACE
        if np.isfinite(facts.accuracy):
            write(frame, f"{100 * facts.accuracy:.1f} %", (box.right, upper), name, self._inks.ink, align="right")
        if self._names[number] != ELLIPSIS:
            write(frame, self._names[number], (start, upper), name, self._inks.ink)
        said = [f"step {facts.step:,} / {side.embedded[-1].step:,}", side.phase(facts.step)]
        said += [] if side.model in self._names[number] else [side.model]
        text = shorten(printable(" · ".join(filter(None, said))), detail, box.right - left)
        write(frame, text, (left, lower), detail, self._inks.muted)

    def _draw_position(self, frame: Frame, share: float, moments: Sequence[FilmTime]) -> None:
        """Show the curves in full colours up to this fraction of the film, and draw a marker on each curve."""
        accuracies = [time.between(side.accuracy) for side, time in zip(self._scene.sides, moments, strict=True)]
        marks = ((self._panel.y(float(at)), ink) for at, ink in zip(accuracies, self._run_inks, strict=False))
        known = (mark for mark in marks if np.isfinite(mark[0]))
        self._chrome.mark(frame, self.pages[0], self._panel.x(share), known)


def _heading_style(scale: float) -> Style:
    return Style(max(10, round(14 * scale)), bold=True)
