"""One short function a stage: read the inputs, call core, write the outputs. Runs in the child process.

What a stage's artifact holds (records as written by core.store.codecs):

    fine_tune    log/ TrainingLog, probe/ ProbeSet, and the weights that were asked for
    checkpoint   weights.safetensors, origin.json: offload mode only, until it is embedded
    embed/i      frame/ Embedded
    score        scores/ OutlierScores
    project      projection/ Projection
    render       film.gif, frames/00000.png …
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from core.data.names import HUB_PREFIX
from core.domain.arrays import (
    Embedded,
    FloatArray,
    FrameFacts,
    OutlierScores,
    ProbeSet,
    Projection,
    TrainingLog,
)
from core.domain.plan import StageName
from core.domain.sources import ImageSource, LabelledImages
from core.domain.spec import refuse_many_classes
from core.layout.project import project_frames
from core.learn import backbones, datasets
from core.learn.backbones import Backbone
from core.learn.embed import embed, load_weights, save_weights
from core.learn.fine_tune import Checkpoint
from core.learn.fine_tune import fine_tune as train
from core.learn.pixels import ImagesOnDevice
from core.learn.training_log import LogRow
from core.measure.outliers import score_frames
from core.render.film import write_gif, write_png
from core.render.frames import draw_frames
from core.store import codecs
from worker import ranks
from worker.context import StageContext

Facts = dict[str, Any]


def fine_tune(ctx: StageContext) -> Facts:
    """Train the model; at each captured step embed the probe set, or store the checkpoint for others to embed."""
    with ranks.together(ctx, _train_along):
        training = _Training.begin(ctx)
        source, backbone = training.source, training.backbone
        probe = _load_probe(ctx, source, size=backbone.image_size)
        probe_on_device = ImagesOnDevice(probe, backbone, device=training.accelerator.device)
        rows: list[LogRow] = []
        for checkpoint in training.checkpoints(ctx):
            rows.extend(checkpoint.log)
            if ctx.spec.capture.mode == "inline":
                _capture_frame(ctx, checkpoint, probe_on_device)
            else:
                _capture_checkpoint(ctx, checkpoint, source)
            _keep_weights(ctx, checkpoint)
    codecs.save(ctx.output / "log", _to_arrays(rows))
    codecs.save(ctx.output / "probe", probe)
    return {}


def embed_frame(ctx: StageContext) -> Facts:
    """Embed the probe set by one stored checkpoint, on the very dataset and model that it was trained with."""
    index = ctx.stage.index or 0
    folder = ctx.checkpoint(index)
    origin = json.loads((folder / "origin.json").read_text())
    source = _open_source(ctx, digest=origin["dataset_digest"])
    backbone = _create_backbone(ctx, source, revision=origin["model_revision"])
    device = Accelerator(mixed_precision="no").device
    backbone.model.to(device)
    load_weights(folder / "weights.safetensors", backbone)
    probe = ImagesOnDevice(_load_probe(ctx, source, size=backbone.image_size), backbone, device=device)
    frame = embed(backbone, probe, step=origin["step"], epoch=origin["epoch"], precision=ctx.spec.train.precision)
    return _write_frame(ctx.output, index, frame)


def score(ctx: StageContext) -> Facts:
    """Score every probe image at every checkpoint."""
    folders = ctx.frames()
    scores = score_frames(
        _embeddings(folders), k=ctx.spec.score.k, on_frame=lambda done: ctx.progress(done, len(folders))
    )
    codecs.save(ctx.output / "scores", scores)
    return {}


def project(ctx: StageContext) -> Facts:
    """Lay every checkpoint out in two dimensions and keep the frames still against each other."""
    folders = ctx.frames()
    projection = project_frames(
        _embeddings(folders),
        project=ctx.spec.project,
        align=ctx.spec.align,
        on_frame=lambda done: ctx.progress(done, len(folders)),
    )
    codecs.save(ctx.output / "projection", projection)
    return {}


def render(ctx: StageContext) -> Facts:
    """Draw the frames and encode the film."""
    spec = ctx.spec
    palette, frames = draw_frames(
        spec=spec.render,
        name=spec.name,
        projection=codecs.load(ctx.input(StageName.PROJECT) / "projection", Projection),
        scores=codecs.load(ctx.input(StageName.SCORE) / "scores", OutlierScores),
        log=codecs.load(ctx.input(StageName.FINE_TUNE) / "log", TrainingLog),
        probe=codecs.load(ctx.input(StageName.FINE_TUNE) / "probe", ProbeSet),
        embedded=[_frame_facts(folder) for folder in ctx.frames()],
        caption=f"{spec.project.method.upper()}, {_ALIGNED[spec.align.method]}",
    )
    pictures = ctx.output / "frames"
    pictures.mkdir()
    n_frames = len(ctx.plan.steps)

    def keep_each() -> Iterator[Any]:
        for index, frame in enumerate(frames):
            write_png(pictures / f"{index:05d}.png", frame, palette)
            ctx.progress(index, n_frames)
            yield frame

    write_gif(ctx.output / "film.gif", keep_each(), palette, fps=spec.render.fps)
    return {}


STAGES: Mapping[StageName, Callable[[StageContext], Facts]] = {
    StageName.FINE_TUNE: fine_tune,
    StageName.EMBED: embed_frame,
    StageName.SCORE: score,
    StageName.PROJECT: project,
    StageName.RENDER: render,
}


@dataclass(frozen=True)
class _Training:
    """What every process of a training has."""

    source: ImageSource
    backbone: Backbone
    images: LabelledImages
    accelerator: Accelerator

    @classmethod
    def begin(cls, ctx: StageContext) -> "_Training":
        """Load data and model; waits for the other processes, if there are any."""
        train = ctx.spec.train
        source = _open_source(ctx)
        backbone = _create_backbone(ctx, source)
        images = datasets.load_training_images(
            source, train_size=train.train_size, size=backbone.image_size, seed=train.seed
        )
        return cls(source, backbone, images, Accelerator(mixed_precision="no"))

    def checkpoints(self, ctx: StageContext) -> Iterator[Checkpoint]:
        """Train, and stop at each step that is to be captured."""
        steps = ctx.spec.train.steps
        return train(
            self.backbone,
            self.images,
            spec=ctx.spec.train,
            capture_steps=ctx.plan.steps,
            on_step=lambda step: ctx.progress(step, steps),
            accelerator=self.accelerator,
        )


def _train_along(ctx: StageContext) -> None:
    """The part of a process that only trains."""
    for _ in _Training.begin(ctx).checkpoints(ctx):
        pass


_ALIGNED = {"rigid": "rigidly aligned", "procrustes": "Procrustes-aligned", "none": "not aligned"}


def _open_source(ctx: StageContext, *, digest: str | None = None) -> ImageSource:
    name = ctx.spec.dataset
    expected = digest or ctx.pins.get(name) or ctx.spec.pinned.dataset_digest
    hub = name.startswith(HUB_PREFIX)
    source = datasets.open_source(
        name,
        uploads=ctx.settings.uploads,
        allowed_hub=ctx.settings.allowed_datasets,
        expected_digest=expected.rpartition("@")[2] if hub else expected,
    )
    if hub:
        ctx.pin(name, source.facts.digest)
    refuse_many_classes(source.facts)
    return source


def _create_backbone(ctx: StageContext, source: ImageSource, *, revision: str | None = None) -> Backbone:
    backbone = backbones.create(
        ctx.spec.model,
        class_names=source.facts.class_names,
        native_image_size=source.image_size,
        seed=ctx.spec.train.seed,
        allowed_models=ctx.settings.allowed_models,
        revision=revision or ctx.pins.get(ctx.spec.model) or ctx.spec.pinned.model_revision,
    )
    if backbone.revision:
        ctx.pin(ctx.spec.model, backbone.revision)
    return backbone


def _load_probe(ctx: StageContext, source: ImageSource, *, size: int) -> ProbeSet:
    spec = ctx.spec
    return datasets.load_probe_set(source, probe_size=spec.capture.probe_size, size=size, seed=spec.train.seed)


def _to_arrays(rows: Sequence[LogRow]) -> TrainingLog:
    return TrainingLog(
        step=np.array([row.step for row in rows], np.int64),
        epoch=np.array([row.epoch for row in rows], np.float32),
        loss=np.array([row.loss for row in rows], np.float32),
        learning_rate=np.array([row.learning_rate for row in rows], np.float32),
        gradient_norm=np.array([row.gradient_norm for row in rows], np.float32),
    )


def _capture_frame(ctx: StageContext, checkpoint: Checkpoint, probe: ImagesOnDevice) -> None:
    step, epoch, precision = checkpoint.step, checkpoint.epoch, ctx.spec.train.precision
    frame = embed(checkpoint.backbone, probe, step=step, epoch=epoch, precision=precision)
    part, folder = ctx.part(checkpoint.index)
    ctx.publish(part, folder, _write_frame(folder, checkpoint.index, frame))


def _capture_checkpoint(ctx: StageContext, checkpoint: Checkpoint, source: ImageSource) -> None:
    part, folder = ctx.part(checkpoint.index)
    save_weights(folder / "weights.safetensors", checkpoint.backbone)
    origin = {
        "step": checkpoint.step,
        "epoch": checkpoint.epoch,
        "dataset_digest": source.facts.digest,
        "model_revision": checkpoint.backbone.revision,
    }
    (folder / "origin.json").write_text(json.dumps(origin))
    ctx.publish(part, folder, {"step": checkpoint.step, "epoch": checkpoint.epoch})


def _write_frame(folder: Path, index: int, frame: Embedded) -> Facts:
    codecs.save(folder / "frame", frame)
    loss = frame.loss if math.isfinite(frame.loss) else None  # JSON has no infinity
    return {"frame": index, "step": frame.step, "epoch": frame.epoch, "loss": loss, "accuracy": frame.accuracy}


def _keep_weights(ctx: StageContext, checkpoint: Checkpoint) -> None:
    kept = ctx.spec.train.keep_weights
    if kept == "all" or (kept == "last" and checkpoint.step == ctx.spec.train.steps):
        folder = ctx.output / "weights"
        folder.mkdir(exist_ok=True)
        save_weights(folder / f"step-{checkpoint.step:06d}.safetensors", checkpoint.backbone)


def _embeddings(folders: list[Path]) -> Iterator[FloatArray]:
    for folder in folders:
        yield codecs.load(folder / "frame", Embedded).embeddings


def _frame_facts(folder: Path) -> FrameFacts:
    frame = codecs.load(folder / "frame", Embedded)
    return FrameFacts(frame.step, frame.epoch, frame.loss, frame.accuracy, frame.predictions)
