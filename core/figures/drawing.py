"""Draw all figures of a run into the folder of its film."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from core.domain.figures import DRAWN_FILE, DrawnFigures, FigureFormat, MissingFigure
from core.draw.palette import Frame
from core.figures import FIGURES
from core.figures.figure import Drawing, FigureInputs, RunFigure
from core.render.encode import film_writer
from core.render.encode.png import write_png

_Part = TypeVar("_Part")

log = logging.getLogger(__name__)

MOST_LETTERS = 300
"""Largest length of the reason for a missing figure, characters. Chosen by hand; not measured."""


def draw_figures(folder: Path, inputs: FigureInputs, figures: tuple[RunFigure, ...] = FIGURES) -> DrawnFigures:
    """Draw each figure whose inputs are available.

    A figure that fails leaves no files, and the other figures and the film are not affected. The record contains the
    reason.

    Args:
        folder: folder of the film. The files of the figures and the record `figures.json` are written into it.
        inputs: the available inputs.
        figures: the figures to draw.

    Returns:
        The record.
    """
    drawn: list[str] = []
    missing: list[MissingFigure] = []
    for figure in figures:
        spec = figure.spec
        lacking = [name for name in spec.reads if name not in inputs.readers]
        if lacking:
            missing.append(MissingFigure(name=spec.name, reason=f"The run has no {' and no '.join(lacking)}."))
            continue
        started = time.monotonic()
        try:
            write_figure(folder, figure, inputs)
        except Exception as error:  # any error of a figure must not lose the film
            log.exception("The figure %s of %s failed", spec.name, inputs.run.name)
            for name in spec.files:
                (folder / name).unlink(missing_ok=True)
            reason = f"{type(error).__name__}: {error}"[:MOST_LETTERS]
            missing.append(MissingFigure(name=spec.name, reason=reason))
        else:
            drawn.append(spec.name)
            log.info("The figure %s was drawn in %.2f s", spec.name, time.monotonic() - started)
    record = DrawnFigures(drawn=tuple(drawn), missing=tuple(missing))
    (folder / DRAWN_FILE).write_text(record.model_dump_json())
    return record


def write_figure(folder: Path, figure: RunFigure, inputs: FigureInputs) -> None:
    """Draw one figure in the formats that the run has (`FigureSpec.formats_for`).

    Args:
        folder: folder of the film.
        figure: the figure.
        inputs: the available inputs.

    Raises:
        ValueError: the drawing lacks a function for a declared format.
    """
    spec, render = figure.spec, inputs.run.render
    drawing = figure.draw(inputs.only(spec.reads))
    paths = {suffix: folder / spec.file(suffix) for suffix in spec.formats_for(render.formats)}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    if "png" in paths:
        write_png(paths.pop("png"), drawing.still(), drawing.palette)
    if "svg" in paths:
        paths.pop("svg").write_text(_needed(drawing.svg, spec.name, "svg")(), encoding="utf-8")
    if paths:
        _write_film(paths, drawing, _needed(drawing.film, spec.name, "film")(), fps=render.fps)


def _needed(part: Callable[[], _Part] | None, name: str, what: str) -> Callable[[], _Part]:
    if part is None:
        raise ValueError(f"The figure {name} declares a format for which it has no {what}.")
    return part


def _write_film(paths: Mapping[FigureFormat, Path], drawing: Drawing, frames: Iterator[Frame], *, fps: int) -> None:
    """Write all film formats in one pass over the pictures."""
    with ExitStack() as stack:
        writers = [
            stack.enter_context(film_writer(suffix, path, drawing.palette, fps=fps)) for suffix, path in paths.items()
        ]
        for frame in frames:
            for writer in writers:
                writer.add(frame)
