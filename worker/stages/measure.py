"""Measure the quality of the film, find notable events of the training, evaluate the model, and find label issues.

The artifact has `quality.json` (QualityCard), `highlights.json` (Highlights), `evaluation.json` (Evaluation) and
`label_issues.json` (DataIssues).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.domain.arrays import Embedded, NeighborGraph, OutlierScores, ProbeSet, Projection
from core.domain.evaluation import Evaluation, PhaseEvaluation
from core.domain.label_issues import DataIssues, TrainTestDuplicates
from core.domain.stages import FINE_TUNE, PROJECT, SCORE
from core.draw.thumbnails import data_uri
from core.measure import label_issues
from core.measure.evaluation import evaluate
from core.review.review import ReviewInputs, review
from core.store.objects import codecs
from worker.context import StageContext
from worker.loading import FrameEmbeddings, frame_facts


def run(ctx: StageContext) -> dict[str, Any]:
    """Measure the layout, evaluate the model at the end of each phase, and find label issues.

    Returns:
        The verdict of the quality card.
    """
    frames = FrameEmbeddings(ctx.frames())
    probe = codecs.load(ctx.input(FINE_TUNE.name) / "probe", ProbeSet)
    film = ReviewInputs(
        frames=frames,
        facts=frame_facts(frames.folders),
        projection=codecs.load(ctx.input(PROJECT.name) / "projection", Projection),
        scores=codecs.load(ctx.input(SCORE.name) / "scores", OutlierScores),
        neighbors=codecs.load(ctx.input(SCORE.name) / "neighbors", NeighborGraph),
        labels=probe.labels,
        class_names=probe.class_names,
    )
    card, highlights = review(film, project=ctx.spec.project, align=ctx.spec.align, on_frame=ctx.progress)
    evaluation = Evaluation(phases=tuple(_evaluated(ctx, frames.folders, probe)))
    records = {
        "quality": card,
        "highlights": highlights,
        "evaluation": evaluation,
        "label_issues": _data_issues(ctx, frames.folders[-1], probe),
    }
    for name, record in records.items():
        (ctx.output / f"{name}.json").write_text(record.model_dump_json())
    return {"verdict": card.verdict}


def _data_issues(ctx: StageContext, last: Path, probe: ProbeSet) -> DataIssues:
    """Find label issues in the last frame, and add the duplicates that the stage `fine_tune` has found."""
    duplicates = ctx.input(FINE_TUNE.name) / "leaks.json"
    return DataIssues(
        label_issues=label_issues.find(codecs.load(last / "frame", Embedded), probe, thumbnail=data_uri),
        leaks=TrainTestDuplicates.model_validate_json(duplicates.read_text()),
    )


def _evaluated(ctx: StageContext, folders: list[Path], probe: ProbeSet) -> Iterator[PhaseEvaluation]:
    """Yield the evaluation of each phase at its last step; at the last frame if the training ended before that step."""
    by_step = {codecs.load(folder / "frame", Embedded).step: folder for folder in folders}
    for span in ctx.spec.train.phase_spans:
        frame = codecs.load(by_step[min(span.last, max(by_step))] / "frame", Embedded)
        yield evaluate(span.phase.name, frame, probe.labels, class_names=probe.class_names)
