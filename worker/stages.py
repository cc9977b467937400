"""One short function a stage: read the inputs, call core, write the outputs. Runs in the child process.

What a stage's artifact holds (records as written by core.store.objects.codecs):

    fine_tune    log/ TrainingLog, probe/ ProbeSet, leaks.json, Leaks
    state        what a training continues from (core.learn.training_state): until the training is done
    checkpoint   weights.safetensors, origin.json: offload mode only, until it is embedded
    weights      a trained model as core.learn.trained writes it: where train.keep_weights asks for it
    embed/i      a folder for each observer (core.observe), frame/ Embedded the first; or an empty file `skipped`, where
                 the training ended before it
    score        scores/ OutlierScores, neighbors/ NeighborGraph
    project      projection/ Projection
    measure      quality.json, a QualityCard; highlights.json, Highlights; evaluation.json, an Evaluation;
                 label_issues.json, DataIssues
    render       film.gif, film.mp4 and film.webp where asked for, frames/00000.png …; figures.json, DrawnFigures, and
                 the files that core.figures.FIGURES declares; of a comparison likeness.json, a Likeness, too
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from core.domain.arrays import (
    Embedded,
    FloatArray,
    NeighborGraph,
    OutlierScores,
    ProbeSet,
    Projection,
    TrainingLog,
)
from core.domain.evaluation import Evaluation, PhaseEvaluation
from core.domain.label_issues import DataIssues, TrainTestDuplicates
from core.domain.layouts import ALIGNMENTS, LAYOUTS
from core.domain.quality import Highlight, Highlights, QualityCard
from core.domain.stages import EMBED, FINE_TUNE, MEASURE, PROJECT, RENDER, SCORE
from core.draw.thumbnails import data_uri
from core.figures.drawing import draw_figures
from core.figures.figure import FigureInputs
from core.layout.project import project_frames
from core.learn import datasets
from core.learn.embed import load_weights, weights_sha256
from core.learn.pixels import ImagesOnDevice
from core.learn.training_log import LogRows
from core.measure import label_issues
from core.measure import train_test_duplicates as leaks
from core.measure.evaluation import evaluate
from core.measure.outliers import score_frames
from core.observe.recorder import Recorder
from core.render.run_scene import FrameRenderer, Scene
from core.review.review import Filmed, review
from core.store.objects import codecs
from worker import ranks
from worker.capture import CheckpointPublisher, frame_artifact_facts
from worker.comparing import compare
from worker.context import StageContext
from worker.drawing import draw_film
from worker.loading import create_backbone, frame_facts, load_probe, open_source
from worker.training import PeriodicCheckpointer, ThroughputTimer, Training, train_along

Facts = dict[str, Any]


def fine_tune(ctx: StageContext) -> Facts:
    """Train the model; at each captured step record the probe set, or store the checkpoint for others to record."""
    with ranks.together(ctx, train_along), ctx.stoppable():
        training = Training.begin(ctx)
        backbone = training.backbone
        probe = load_probe(ctx, training.source, size=backbone.image_size)
        publisher = CheckpointPublisher(ctx, training, probe)
        logs = [training.state.log] if training.state else []
        timed = ThroughputTimer(training.checkpoints(PeriodicCheckpointer(ctx)), images=len(training.images.labels))
        for checkpoint in timed:
            logs.append(checkpoint.log)
            publisher.publish(checkpoint)
    log = LogRows.joined(logs)
    publisher.end(log[-1].step)
    codecs.save(ctx.output / "log", log.to_arrays())
    codecs.save(ctx.output / "probe", probe)
    (ctx.output / "leaks.json").write_text(_leaks(ctx, training, probe).model_dump_json())
    return {
        "weights_sha256": weights_sha256(backbone.model),
        "parameters": backbone.parameters,
        "step": log[-1].step,
        **timed.facts(),
    }


def embed_frame(ctx: StageContext) -> Facts:
    """Record the probe set by one stored checkpoint, with the very dataset and model that it was trained with."""
    folder = ctx.checkpoint()
    origin = json.loads((folder / "origin.json").read_text())
    source = open_source(ctx, digest=origin["dataset_digest"])
    backbone = create_backbone(ctx, source, revision=origin["model_revision"])
    device = Accelerator(mixed_precision="no").device
    backbone.model.to(device)
    load_weights(folder / "weights.safetensors", backbone)
    probe = ImagesOnDevice(load_probe(ctx, source, size=backbone.image_size), backbone, device=device)
    step = origin["step"]
    records = Recorder(probe, precision=ctx.spec.train.precision).record(
        ctx.output, backbone, step=step, epoch=origin["epoch"], is_last=step == ctx.plan.steps[-1], changed_at=step
    )
    return frame_artifact_facts(ctx.stage.index or 0, records)


def score(ctx: StageContext) -> Facts:
    """Score every probe image at every checkpoint."""
    folders = ctx.frames()
    scores, neighbors = score_frames(
        _Embeddings(folders), k=ctx.spec.score.k, on_frame=lambda done: ctx.progress(done, len(folders))
    )
    codecs.save(ctx.output / "scores", scores)
    codecs.save(ctx.output / "neighbors", neighbors)
    return {}


def project(ctx: StageContext) -> Facts:
    """Lay every checkpoint out in two dimensions and keep the frames still against each other."""
    folders = ctx.frames()
    projection = project_frames(
        _Embeddings(folders),
        project=ctx.spec.project,
        align=ctx.spec.align,
        on_frame=ctx.progress,
    )
    codecs.save(ctx.output / "projection", projection)
    return {}


def measure(ctx: StageContext) -> Facts:
    """Say how far the film can be trusted, and what happened in it."""
    frames = _Embeddings(ctx.frames())
    probe = codecs.load(ctx.input(FINE_TUNE.name) / "probe", ProbeSet)
    film = Filmed(
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
    told = {
        "quality": card,
        "highlights": highlights,
        "evaluation": evaluation,
        "label_issues": _data_issues(ctx, frames.folders[-1], probe),
    }
    for name, record in told.items():
        (ctx.output / f"{name}.json").write_text(record.model_dump_json())
    return {"verdict": card.verdict}


def _data_issues(ctx: StageContext, last: Path, probe: ProbeSet) -> DataIssues:
    leaks = ctx.input(FINE_TUNE.name) / "leaks.json"
    return DataIssues(
        label_issues=label_issues.find(codecs.load(last / "frame", Embedded), probe, thumbnail=data_uri),
        leaks=TrainTestDuplicates.model_validate_json(leaks.read_text()),
    )


def _evaluated(ctx: StageContext, folders: list[Path], probe: ProbeSet) -> Iterator[PhaseEvaluation]:
    """Each phase by the frame of its end; the last one may have ended early."""
    by_step = {codecs.load(folder / "frame", Embedded).step: folder for folder in folders}
    for span in ctx.spec.train.phase_spans:
        frame = codecs.load(by_step[min(span.last, max(by_step))] / "frame", Embedded)
        yield evaluate(span.phase.name, frame, probe.labels, class_names=probe.class_names)


def render(ctx: StageContext) -> Facts:
    """Draw the frames and encode the film: of this run, or of those that it compares."""
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
    """What `measure` has found."""
    folder = ctx.input(MEASURE.name)
    card = QualityCard.model_validate_json((folder / "quality.json").read_text())
    return card, Highlights.model_validate_json((folder / "highlights.json").read_text()).highlights


STAGES: Mapping[str, Callable[[StageContext], Facts]] = {
    FINE_TUNE.name: fine_tune,
    EMBED.name: embed_frame,
    SCORE.name: score,
    PROJECT.name: project,
    MEASURE.name: measure,
    RENDER.name: render,
}


def _leaks(ctx: StageContext, training: Training, probe: ProbeSet) -> TrainTestDuplicates:
    spec = ctx.spec.train
    rows = datasets.training_rows(training.source, train_size=spec.train_size, seed=spec.seed)
    return leaks.find(training.images.images, rows, probe)


@dataclass(frozen=True)
class _Embeddings:
    """The embeddings of all frames, mapped one at a time, as often as they are gone through."""

    folders: list[Path]

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[FloatArray]:
        for folder in self.folders:
            yield codecs.load_array(folder / "frame", "embeddings")
