"""One short function a stage: read the inputs, call core, write the outputs. Runs in the child process.

What a stage's artifact holds (records as written by core.store.objects.codecs):

    fine_tune    log/ TrainingLog, probe/ ProbeSet, leaks.json, Leaks
    state        what a training continues from (core.learn.training_state): until the training is done
    checkpoint   weights.safetensors, origin.json: offload mode only, until it is embedded
    weights      a trained model as core.learn.trained writes it: where train.keep_weights asks for it
    embed/i      frame/ Embedded; or an empty file `skipped`, where the training ended before it
    score        scores/ OutlierScores, neighbors/ NeighborGraph
    project      projection/ Projection
    measure      quality.json, a QualityCard; highlights.json, Highlights; evaluation.json, an Evaluation;
                 label_issues.json, DataIssues
    render       film.gif, film.mp4 and film.webp where asked for, frames/00000.png …, contact_sheet.png, curves.png; of
                 a comparison likeness.json, a Likeness, in its place
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor

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
from core.domain.model_card import Learned
from core.domain.plan import SKIPPED, Part, StageName
from core.domain.quality import Highlight, Highlights, QualityCard
from core.domain.sources import ImageSource
from core.draw.thumbnails import data_uri
from core.figures.curves import draw_figure
from core.layout.project import project_frames
from core.learn import datasets, trained
from core.learn.embed import embed, features_of, load_weights, save_weights, weights_sha256
from core.learn.fine_tune import Checkpoint
from core.learn.learning import how_many_learn
from core.learn.pixels import ImagesOnDevice
from core.learn.stopper import Stopper
from core.learn.training_log import LogRows
from core.measure import label_issues
from core.measure import train_test_duplicates as leaks
from core.measure.evaluation import evaluate
from core.measure.outliers import score_frames
from core.render.encode.png import write_png
from core.render.film import REDUCIBLE_FIELDS, render_film
from core.render.run_scene import FrameRenderer, Scene
from core.review.review import Filmed, review
from core.store.objects import codecs
from worker import ranks
from worker.comparing import compare
from worker.context import StageContext
from worker.loading import create_backbone, frame_facts, load_probe, open_source
from worker.training import Pace, StateKeeper, Training, train_along

Facts = dict[str, Any]


def fine_tune(ctx: StageContext) -> Facts:
    """Train the model; at each captured step embed the probe set, or store the checkpoint for others to embed."""
    with ranks.together(ctx, train_along), ctx.stoppable():
        training = Training.begin(ctx)
        source, backbone = training.source, training.backbone
        probe = load_probe(ctx, source, size=backbone.image_size)
        shown = ImagesOnDevice(probe, backbone, device=training.accelerator.device)
        embedder = _Embedder(ctx, shown, training.stopper)
        logs = [training.state.log] if training.state else []
        checkpoints = training.checkpoints(ctx, on_pause=StateKeeper(ctx, training.sentinels, training.stopper))
        pace = Pace(checkpoints, images=len(training.images.labels))
        for checkpoint in pace:
            logs.append(checkpoint.log)
            if ctx.spec.capture.mode == "inline":
                embedder.capture(checkpoint)
            else:
                _capture_checkpoint(ctx, checkpoint, source)
            _keep_weights(ctx, training, planned=checkpoint.step, step=checkpoint.step)
    log = LogRows.joined(logs)
    _end_early(ctx, training, step=log[-1].step)
    codecs.save(ctx.output / "log", log.to_arrays())
    codecs.save(ctx.output / "probe", probe)
    (ctx.output / "leaks.json").write_text(_leaks(ctx, training, probe).model_dump_json())
    return {
        "weights_sha256": weights_sha256(backbone.model),
        "parameters": backbone.parameters,
        "step": log[-1].step,
        **pace.facts(),
    }


def embed_frame(ctx: StageContext) -> Facts:
    """Embed the probe set by one stored checkpoint, on the very dataset and model that it was trained with."""
    index = ctx.stage.index or 0
    folder = ctx.checkpoint()
    origin = json.loads((folder / "origin.json").read_text())
    source = open_source(ctx, digest=origin["dataset_digest"])
    backbone = create_backbone(ctx, source, revision=origin["model_revision"])
    device = Accelerator(mixed_precision="no").device
    backbone.model.to(device)
    load_weights(folder / "weights.safetensors", backbone)
    probe = ImagesOnDevice(load_probe(ctx, source, size=backbone.image_size), backbone, device=device)
    frame = embed(
        backbone,
        probe,
        step=origin["step"],
        epoch=origin["epoch"],
        precision=ctx.spec.train.precision,
        probabilities=_is_last(ctx, origin["step"]),
    )
    return _write_frame(ctx.output, index, frame)


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
    probe = codecs.load(ctx.input(StageName.FINE_TUNE) / "probe", ProbeSet)
    film = Filmed(
        frames=frames,
        facts=frame_facts(frames.folders),
        projection=codecs.load(ctx.input(StageName.PROJECT) / "projection", Projection),
        scores=codecs.load(ctx.input(StageName.SCORE) / "scores", OutlierScores),
        neighbors=codecs.load(ctx.input(StageName.SCORE) / "neighbors", NeighborGraph),
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
    leaks = ctx.input(StageName.FINE_TUNE) / "leaks.json"  # a training that an older version did has none
    return DataIssues(
        label_issues=label_issues.find(codecs.load(last / "frame", Embedded), probe, thumbnail=data_uri),
        leaks=TrainTestDuplicates.model_validate_json(leaks.read_text()) if leaks.exists() else None,
    )


def _evaluated(ctx: StageContext, folders: list[Path], probe: ProbeSet) -> Iterator[PhaseEvaluation]:
    """Each phase by the frame of its end; the last one may have ended early."""
    by_step = {codecs.load(folder / "frame", Embedded).step: folder for folder in folders}
    for stretch in ctx.spec.train.phase_spans:
        frame = codecs.load(by_step[min(stretch.last, max(by_step))] / "frame", Embedded)
        yield evaluate(stretch.phase.name, frame, probe.labels, class_names=probe.class_names)


def render(ctx: StageContext) -> Facts:
    """Draw the frames and encode the film: of this run, or of those that it compares."""
    spec = ctx.spec
    if spec.compared:
        return compare(ctx)
    card, highlights = _reviewed(ctx)
    scene = Scene(
        name=spec.name,
        projection=codecs.load(ctx.input(StageName.PROJECT) / "projection", Projection),
        scores=codecs.load(ctx.input(StageName.SCORE) / "scores", OutlierScores),
        log=codecs.load(ctx.input(StageName.FINE_TUNE) / "log", TrainingLog),
        probe=codecs.load(ctx.input(StageName.FINE_TUNE) / "probe", ProbeSet),
        embedded=frame_facts(ctx.frames()),
        note=LAYOUTS[spec.project.method].title + ALIGNMENTS[spec.align.method].title,
        highlights=highlights,
        card=card,
        phases=spec.train.phase_starts,
    )
    write_png(ctx.output / "curves.png", *draw_figure(spec.render, scene.name, scene.curves))
    drawn = render_film(ctx.output, spec.render, partial(FrameRenderer, scene=scene), on_frame=ctx.progress)
    return drawn.model_dump(include=REDUCIBLE_FIELDS)


def _reviewed(ctx: StageContext) -> tuple[QualityCard | None, tuple[Highlight, ...]]:
    """What `measure` has found; nothing for a run that is older than that stage."""
    if not ctx.plan.named(StageName.MEASURE):
        return None, ()
    folder = ctx.input(StageName.MEASURE)
    card = QualityCard.model_validate_json((folder / "quality.json").read_text())
    return card, Highlights.model_validate_json((folder / "highlights.json").read_text()).highlights


STAGES: Mapping[StageName, Callable[[StageContext], Facts]] = {
    StageName.FINE_TUNE: fine_tune,
    StageName.EMBED: embed_frame,
    StageName.SCORE: score,
    StageName.PROJECT: project,
    StageName.MEASURE: measure,
    StageName.RENDER: render,
}


class _Embedder:
    """Embeds the probe set at checkpoints of the live model; only the head is asked where only the head has changed."""

    def __init__(self, ctx: StageContext, probe: ImagesOnDevice, stopper: Stopper | None) -> None:
        self._ctx, self._probe, self._stopper = ctx, probe, stopper
        self._seen: tuple[int, Tensor] | None = None

    def capture(self, checkpoint: Checkpoint) -> None:
        """Publish the checkpoint's frame; its loss may be that with which training ends."""
        last = _is_last(self._ctx, checkpoint.step)
        frame = embed(
            checkpoint.backbone,
            self._probe,
            step=checkpoint.step,
            epoch=checkpoint.epoch,
            precision=self._ctx.spec.train.precision,
            features=self._features(checkpoint),
            probabilities=last or self._stopper is not None,
        )
        if self._stopper and not self._stopper.hear(checkpoint.step, frame.loss) and not last:
            frame = replace(frame, probabilities=None)
        part = self._ctx.frame_part(checkpoint.index)
        folder = self._ctx.beside(part.id)
        self._ctx.publish(part, folder, _write_frame(folder, checkpoint.index, frame))

    def _features(self, checkpoint: Checkpoint) -> Tensor:
        if self._seen is None or self._seen[0] != checkpoint.body_step:
            precision = self._ctx.spec.train.precision
            features = features_of(checkpoint.backbone, self._probe, precision=precision)
            self._seen = checkpoint.body_step, features
        return self._seen[1]


def _capture_checkpoint(ctx: StageContext, checkpoint: Checkpoint, source: ImageSource) -> None:
    part = ctx.frame_part(checkpoint.index)
    folder = ctx.beside(part.id)
    save_weights(folder / "weights.safetensors", checkpoint.backbone)
    origin = {
        "step": checkpoint.step,
        "epoch": checkpoint.epoch,
        "dataset_digest": source.facts.digest,
        "model_revision": checkpoint.backbone.revision,
    }
    (folder / "origin.json").write_text(json.dumps(origin))
    ctx.publish(part, folder, {"step": checkpoint.step, "epoch": checkpoint.epoch})


def _is_last(ctx: StageContext, step: int) -> bool:
    return step == ctx.plan.steps[-1]


def _write_frame(folder: Path, index: int, frame: Embedded) -> Facts:
    codecs.save(folder / "frame", frame)
    loss = frame.loss if math.isfinite(frame.loss) else None  # JSON has no infinity
    return {"frame": index, "step": frame.step, "epoch": frame.epoch, "loss": loss, "accuracy": frame.accuracy}


def _leaks(ctx: StageContext, training: Training, probe: ProbeSet) -> TrainTestDuplicates:
    spec = ctx.spec.train
    rows = datasets.training_rows(training.source, train_size=spec.train_size, seed=spec.seed)
    return leaks.find(training.images.images, rows, probe)


def _keep_weights(ctx: StageContext, training: Training, *, planned: int, step: int) -> None:
    """Publish the weights of a step under the one that they were planned for."""
    for part in ctx.stage.parts:
        if part.effect == "keeps" and part.step == planned:
            folder = ctx.beside(part.id)
            trained.save(folder, training.backbone)
            ctx.publish(part, folder, asdict(_learned(ctx, training, step=step)))


def _end_early(ctx: StageContext, training: Training, *, step: int) -> None:
    """Where training has ended before its last step, publish what the plan has after it.

    The last frames first: where another training of the same run goes on longer, the frames that are there still have
    no gap between them.
    """
    last = ctx.plan.steps[-1]
    if step == last:
        return
    ctx.progress(step, step)
    _keep_weights(ctx, training, planned=last, step=step)
    for part in reversed(ctx.stage.parts):
        if part.effect == "completes" and part.step is not None and part.step > step:
            _skip(ctx, part)


def _skip(ctx: StageContext, part: Part) -> None:
    folder = ctx.beside(part.id)
    (folder / SKIPPED).touch()
    ctx.publish(part, folder, {"frame": ctx.plan.stage(part.stage).index, SKIPPED: True})


def _learned(ctx: StageContext, training: Training, *, step: int) -> Learned:
    backbone, facts = training.backbone, training.source.facts
    return Learned(
        step=step,
        images=len(training.images.labels),
        classes=facts.class_names,
        digest=facts.digest,
        parameters=backbone.parameters,
        architecture=type(backbone.model).__name__,
        image_size=backbone.image_size,
        learning=how_many_learn(backbone, ctx.spec.train),
    )


@dataclass(frozen=True)
class _Embeddings:
    """The embeddings of all frames, mapped one at a time, as often as they are gone through."""

    folders: list[Path]

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[FloatArray]:
        for folder in self.folders:
            yield codecs.load(folder / "frame", Embedded).embeddings
