"""Draw the film of a comparison from the artifacts of the compared runs. Used in the child process."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.domain.arrays import Embedded, ProbeSet, Projection
from core.domain.comparison import SIMILARITY_FILE, RepresentationSimilarity
from core.domain.plan import ComparedArtifacts
from core.domain.quality import json_number
from core.errors import InvalidSpecError
from core.figures.drawing import draw_figures
from core.figures.figure import FigureInputs
from core.layout.joint_alignment import in_one_frame
from core.measure.representation import cka, linear_kernel
from core.render.comparison_scene import ComparisonRenderer, ComparisonScene, Side
from core.store.objects import codecs
from worker.context import StageContext
from worker.drawing import draw_film
from worker.loading import frame_facts


def compare(ctx: StageContext) -> dict[str, Any]:
    """Draw the compared runs side by side, and measure the similarity of their representations.

    Args:
        ctx: context of the stage `render` of a comparison. Its output gets the film, the frames, the figures and the
            similarity file.

    Returns:
        The values of `REDUCIBLE_FIELDS` with which the film was drawn.

    Raises:
        InvalidSpecError: the runs show different images, or the film exceeds `render.max_bytes` at its smallest size.
    """
    shown, compared = ctx.task.shows, ctx.spec.compared
    probe = _probe(ctx, shown)
    films = [codecs.load(ctx.stored(one.project) / "projection", Projection) for one in shown]
    layouts = in_one_frame([film.points for film in films])
    frames = [ctx.captured(one.embeds) for one in shown]
    sides = [
        Side(
            name=run.spec.name,
            model=run.spec.model,
            projection=replace(film, points=points),
            embedded=frame_facts(folders),
            phases=run.spec.train.phase_starts,
        )
        for run, film, points, folders in zip(compared, films, layouts, frames, strict=True)
    ]
    (ctx.output / SIMILARITY_FILE).write_text(_similarity([folders[-1] for folders in frames]).model_dump_json())
    scene = ComparisonScene(ctx.spec.name, probe, sides)
    drawn = draw_film(ctx, partial(ComparisonRenderer, scene=scene))
    draw_figures(ctx.output, FigureInputs(ctx.spec, {"film": lambda: ctx.output}))
    return drawn


def _probe(ctx: StageContext, shown: Sequence[ComparedArtifacts]) -> ProbeSet:
    """Return the probe set of the first run. The other runs show the same images, at the input size of their models.

    Raises:
        InvalidSpecError: a run shows other images.
    """
    first, *others = (codecs.load(ctx.stored(one.fine_tune) / "probe", ProbeSet) for one in shown)
    for other, run in zip(others, ctx.spec.compared[1:], strict=True):
        if not np.array_equal(first.rows, other.rows) or first.class_names != other.class_names:
            raise InvalidSpecError(
                f"{run.run} and {ctx.spec.compared[0].run} do not show the same images. Compare runs of the same "
                "dataset revision with the same capture.probe_size and train.seed.",
                field="runs",
            )
    return first


def _similarity(last: Sequence[Path]) -> RepresentationSimilarity:
    """Return the linear CKA of each pair of runs, from the folders of their last frames."""
    kernels = [linear_kernel(codecs.load(folder / "frame", Embedded).embeddings) for folder in last]
    return RepresentationSimilarity(
        cka=tuple(tuple(json_number(cka(one, other)) for other in kernels) for one in kernels)
    )
