"""Draw the film and the figures of a run or of a comparison.

The artifact has `film.gif`, `film.<format>` for each of `render.formats`, `frames/00000.png` …, `figures.json`
(DrawnFigures), and the files that core.figures.FIGURES declares. The artifact of a comparison also has `likeness.json`
(RepresentationSimilarity).
"""

from functools import partial
from typing import Any

from core.domain.arrays import OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.layouts import ALIGNMENTS, LAYOUTS
from core.domain.quality import Highlight, Highlights, QualityCard
from core.domain.stages import FINE_TUNE, MEASURE, PROJECT, SCORE
from core.figures.drawing import draw_figures
from core.figures.figure import FigureInputs
from core.render.run_scene import FrameRenderer, Scene
from core.store.objects import codecs
from worker.comparing import compare
from worker.context import StageContext
from worker.drawing import draw_film
from worker.loading import frame_facts


def run(ctx: StageContext) -> dict[str, Any]:
    """Draw the film and the figures.

    Returns:
        The width, height and tweens with which the film was drawn.
    """
    spec = ctx.spec
    if spec.compared:
        return compare(ctx)
    card, highlights = _reviewed(ctx)
    scene = Scene(
        name=spec.name,
        projection=codecs.load(ctx.input(PROJECT.name) / "projection", Projection),
        scores=codecs.load(ctx.input(SCORE.name) / "scores", OutlierScores),
        log=codecs.load(ctx.input(FINE_TUNE.name) / "log", TrainingLog),
        probe=codecs.load(ctx.input(FINE_TUNE.name) / "probe", ProbeSet),
        embedded=frame_facts(ctx.frames()),
        note=LAYOUTS[spec.project.method].title + ALIGNMENTS[spec.align.method].title,
        highlights=highlights,
        card=card,
        phases=spec.train.phase_starts,
    )
    drawn = draw_film(ctx, partial(FrameRenderer, scene=scene))
    inputs = FigureInputs(
        spec,
        {
            "film": lambda: ctx.output,
            "log": lambda: scene.log,
            "probe": lambda: scene.probe,
            "checkpoints": lambda: scene.embedded,
        },
    )
    draw_figures(ctx.output, inputs)
    return drawn


def _reviewed(ctx: StageContext) -> tuple[QualityCard, tuple[Highlight, ...]]:
    """Return the quality card and the highlights of the stage `measure`."""
    folder = ctx.input(MEASURE.name)
    card = QualityCard.model_validate_json((folder / "quality.json").read_text())
    return card, Highlights.model_validate_json((folder / "highlights.json").read_text()).highlights
