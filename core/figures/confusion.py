"""The confusion matrix of the probe images at each checkpoint, with one colour scale for the whole film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts, IntArray
from core.domain.figures import FigureSpec
from core.draw.axis_names import SMALLEST, AxisNames
from core.draw.box import Box, measures
from core.draw.colors import THEMES, Color, Theme, to_oklab
from core.draw.palette import Frame
from core.draw.picture import Cells, Painter, Picture, Rect, Shape, Text, as_svg, edges
from core.draw.text import Style, measure, printable, shorten
from core.figures.figure import Drawing, FigureInputs, RunFigure

_LEVELS = 24
"""Number of steps of the colour scale between none and all images of a class. Chosen by hand."""
_STOPS = {
    False: ((255, 255, 255), (126, 194, 250), (0, 104, 192), (8, 42, 92)),
    True: ((18, 21, 27), (10, 66, 130), (30, 136, 228), (204, 231, 255)),
}
"""Colours of the scale at equal distances, for light and dark themes."""
_MOST_OF_SIDE = 0.3
"""Largest fraction of the shorter side for names. Chosen by hand; not measured."""
_MOST_OF_WIDTH = 0.4
"""Largest fraction of the width for names of rows on a wide page. Chosen by hand; not measured."""
_LEAST_GRID = 12
"""Smallest side of a cell at which lines separate cells, pixels. Chosen by hand; not measured."""


def confusion(labels: IntArray, predictions: IntArray, n_classes: int) -> IntArray:
    """Count the images of each true class (rows) by predicted class (columns).

    Args:
        labels: (N,) int64, true classes.
        predictions: (N,) int64, predicted classes.
        n_classes: number of classes C.

    Returns:
        (C, C) int64.
    """
    counts = np.bincount(labels * n_classes + predictions, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def scale_colors(theme: Theme) -> NDArray[np.uint8]:
    """Return (25, 3) uint8 sRGB: the colours of a fraction of 0, of at most 1/24, … and of at most 1 of a class."""
    stops = np.array(_STOPS[theme.dark], dtype=np.float64)
    at = np.linspace(0, len(stops) - 1, _LEVELS + 1)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, band]) for band in range(3)], axis=1).astype(
        np.uint8
    )


@dataclass(frozen=True)
class Page:
    """The arrangement of the pictures of one film.

    Attributes:
        inputs: inputs of the figure; the spec has the name of the run, the sides and the theme.
        labels: (N,) int64, true classes.
        names: C class names.
        checkpoints: facts of T checkpoints.
    """

    inputs: FigureInputs
    labels: IntArray
    names: tuple[str, ...]
    checkpoints: Sequence[FrameFacts]

    @cached_property
    def theme(self) -> Theme:
        """The theme."""
        return THEMES[self.inputs.run.render.theme]

    @cached_property
    def colors(self) -> NDArray[np.uint8]:
        """(25, 3) uint8 sRGB, the colour scale."""
        return scale_colors(self.theme)

    @cached_property
    def letters(self) -> list[Color]:
        """25 colours: the text colour on each colour of the scale."""
        choices = [self.theme.ink, self.theme.card]
        bright = to_oklab(np.array(choices, dtype=np.uint8))[:, 0]
        cells = to_oklab(self.colors)[:, 0]
        return [choices[int(np.abs(bright - lightness).argmax())] for lightness in cells]

    @cached_property
    def measures(self) -> tuple[float, Box, int]:
        """The scale of text, the box inside the margins, and the gap between two boxes."""
        return measures(self.inputs.run.render.width, self.inputs.run.render.height)

    def painter(self) -> Painter:
        """Return the painter of all pictures of the film."""
        theme, scale = self.theme, self._scale
        texts = [(theme.ink, theme.page), (theme.muted, theme.page), *zip(self.letters, scale, strict=True)]
        return Painter(theme, [theme.page, theme.line, *scale], texts)

    def picture(self, facts: FrameFacts) -> Picture:
        """Return the picture of one checkpoint."""
        spec = self.inputs.run.render
        shapes = (*self._fixed, *self._matrix_of(facts), self._subtitle(facts))
        return Picture(spec.width, spec.height, self.theme.page, shapes)

    @cached_property
    def _scale(self) -> list[Color]:
        return [(red, green, blue) for red, green, blue in self.colors.tolist()]

    def _size(self, pixels: float) -> int:
        return max(SMALLEST, round(pixels * self.measures[0]))

    @cached_property
    def _body(self) -> Box:
        """The box between the title and the colour scale."""
        _, inner, gap = self.measures
        top = inner.top + round(self._size(22) * 1.3) + round(self._size(15) * 1.5)
        return Box(inner.left, top, inner.width, inner.bottom - top - self._size(12) - gap)

    @cached_property
    def _sides(self) -> tuple[AxisNames, AxisNames]:
        """Names of the rows and of the columns."""
        body, axis, size = self._body, self._axis, self._size(13)
        names = [printable(name) for name in self.names]
        side = min(body.width, body.height) * (1 - _MOST_OF_SIDE) - axis
        found: tuple[AxisNames, AxisNames] = self._named(names, side, size)
        for _ in range(2):  # shorter names leave room for larger cells and letters
            rows, columns = found
            side = min(body.width - rows.depth, body.height - columns.depth) - axis
            found = self._named(names, side, size)
        return found

    def _named(self, names: Sequence[str], side: float, size: int) -> tuple[AxisNames, AxisNames]:
        pitch, width, height = side / len(names), self._body.width, self._body.height
        most = max(min(width, height) * _MOST_OF_SIDE, min(width - height, width * _MOST_OF_WIDTH))
        rows = AxisNames.plan(names, pitch=pitch, most=most, size=size, upright=False)
        widest = max(measure(name, Style(size)) for name in names)
        if widest + size * 0.5 > pitch:
            most = min(width, height) * _MOST_OF_SIDE
            return rows, AxisNames.plan(names, pitch=pitch, most=most, size=size, upright=True)
        return rows, AxisNames(Style(size), tuple(names), lanes=1, every=1, room=round(size * 1.4), upright=False)

    @property
    def _axis(self) -> int:
        """Height of the axis titles, pixels."""
        return round(self._size(12) * 1.6)

    @cached_property
    def matrix(self) -> Box:
        """The box of the cells."""
        body, (rows, columns) = self._body, self._sides
        side = min(body.width - rows.depth, body.height - columns.depth) - self._axis
        left = body.left + self._axis + rows.depth
        return Box(left + max(0, (body.right - left - side) // 2), body.top + self._axis + columns.depth, side, side)

    @cached_property
    def _middles(self) -> tuple[list[float], list[float]]:
        """Middles of the rows and of the columns, pixels."""
        box, count = self.matrix, len(self.names)
        return tuple(  # type: ignore[return-value]
            [(one + other) / 2 for one, other in pairwise(found)]
            for found in (edges(box.top, box.height, count), edges(box.left, box.width, count))
        )

    @cached_property
    def _numbers(self) -> Style | None:
        """The style of the counts; None if the cells are too small for counts."""
        pitch, most = self.matrix.width / len(self.names), str(int(np.bincount(self.labels).max()))
        sizes = range(min(self._size(16), int(pitch) - 3), SMALLEST - 1, -1)
        return next((Style(size) for size in sizes if measure(most, Style(size)) <= pitch - 4), None)

    @cached_property
    def _fixed(self) -> tuple[Shape, ...]:
        """The shapes that are equal in all pictures."""
        theme, box, (rows, columns) = self.theme, self.matrix, self._sides
        _, inner, _ = self.measures
        title, axis = Style(self._size(22), bold=True), Style(self._size(12))
        name = shorten(printable(self.inputs.run.name), title, inner.width)
        middle_row, middle_column = box.top + box.height / 2, box.left + box.width / 2
        row_names = rows.placed(self._middles[0], box.left, theme.ink, theme.page)
        if columns.upright:
            column_names = columns.placed(self._middles[1], box.top, theme.ink, theme.page)
        else:
            baseline = box.top - round(columns.style.size * 0.5)
            column_names = (
                Text(name, x, baseline, columns.style, theme.ink, theme.page, "center")
                for name, x in zip(columns.shown, self._middles[1], strict=True)
            )
        return (
            Text(name, inner.left, inner.top + title.size, title, theme.ink, theme.page),
            Text(
                f"predicted class{columns.note}",
                middle_column,
                self._body.top + axis.size,
                axis,
                theme.muted,
                theme.page,
                "center",
            ),
            Text(
                f"true class{rows.note}",
                box.left - rows.depth - round(axis.size * 0.5),
                middle_row,
                axis,
                theme.muted,
                theme.page,
                "center",
                upright=True,
            ),
            *row_names,
            *column_names,
            *self._legend(),
        )

    def _legend(self) -> Iterator[Shape]:
        """Return the shapes of the colour scale below the matrix."""
        theme, (_, inner, gap) = self.theme, self.measures
        style = Style(self._size(12))
        baseline, bar = inner.bottom - round(style.size * 0.2), round(style.size * 0.8)
        x = inner.left
        for part in ("share of the true class", "0 %"):
            yield Text(part, x, baseline, style, theme.muted, theme.page)
            x += round(measure(part, style)) + gap // 2
        end = inner.right - round(measure("100 %", style)) - gap // 2
        width = min(end - x, self._size(160))
        yield Rect(Box(x - 1, baseline - bar - 1, width + 2, bar + 2), theme.line)
        yield Cells(Box(x, baseline - bar, width, bar), self.colors[None])
        yield Text("100 %", x + width + gap // 2, baseline, style, theme.muted, theme.page)

    def _subtitle(self, facts: FrameFacts) -> Text:
        """Step and accuracy, in words that fit for every checkpoint."""
        style, (_, inner, _) = Style(self._size(15)), self.measures
        last = f"step {self.checkpoints[-1].step:,} · accuracy 100.0 %"
        told = f"step {facts.step:,} · accuracy {100 * facts.accuracy:.1f} %"
        before = next(
            (one for one in ("Confusion matrix · ", "") if measure(one + last, style) <= inner.width - style.size), ""
        )
        y = inner.top + round(self._size(22) * 1.3) + style.size
        return Text(before + told, inner.left, y, style, self.theme.muted, self.theme.page)

    def _matrix_of(self, facts: FrameFacts) -> Iterator[Shape]:
        count, box = len(self.names), self.matrix
        counts = confusion(self.labels, facts.predictions, count)
        images = counts.sum(axis=1, keepdims=True)
        levels = np.ceil(counts / np.maximum(images, 1) * _LEVELS).astype(np.int64)
        yield Rect(Box(box.left - 1, box.top - 1, box.width + 2, box.height + 2), self.theme.line)
        yield Cells(box, self.colors[levels])
        if box.width / count >= _LEAST_GRID:
            for row in edges(box.top, box.height, count)[1:-1]:
                yield Rect(Box(box.left, row, box.width, 1), self.theme.line)
            for column in edges(box.left, box.width, count)[1:-1]:
                yield Rect(Box(column, box.top, 1, box.height), self.theme.line)
        if self._numbers is None:
            return
        style, (rows, columns) = self._numbers, self._middles
        for row, column in np.argwhere(counts):
            level = levels[row, column]
            x, y = columns[column] + 0.5, rows[row] + style.size * 0.36 + 0.5
            front, behind = self.letters[level], self._scale[level]
            yield Text(str(counts[row, column]), x, y, style, front, behind, "center")


def draw(inputs: FigureInputs) -> Drawing:
    """Draw the last checkpoint as a picture, and all checkpoints as a film."""
    probe, checkpoints = inputs.probe, inputs.checkpoints
    page = Page(inputs, np.asarray(probe.labels), probe.class_names, checkpoints)
    painter, last = page.painter(), checkpoints[-1]

    def film() -> Iterator[Frame]:
        return (painter.paint(page.picture(facts)) for facts in checkpoints)

    return Drawing(
        painter.palette,
        still=lambda: painter.paint(page.picture(last)),
        film=film,
        svg=lambda: as_svg(page.picture(last), title=f"Confusion matrix of {inputs.run.name}, step {last.step:,}"),
    )


FIGURE = RunFigure(
    FigureSpec(
        name="confusion",
        title="Confusion matrix",
        shows="Number of probe images by true and predicted class, coloured by the fraction of the true class; as a "
        "film, at each checkpoint.",
        formats=("png", "svg", "gif", "mp4", "webp"),
        reads=("probe", "checkpoints"),
    ),
    draw,
)
