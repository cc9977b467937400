"""One short function a stage: read the inputs, call core, write the outputs. Runs in the child process.

What a stage's artifact holds (records as written by core.store.codecs):

    fine_tune    log/ TrainingLog, probe/ ProbeSet, leaks.json, Leaks
    state        what a training continues from (core.learn.training_state): until the training is done
    checkpoint   weights.safetensors, origin.json: offload mode only, until it is embedded
    weights      a trained model as core.learn.trained writes it: where train.keep_weights asks for it
    embed/i      frame/ Embedded
    score        scores/ OutlierScores, neighbors/ NeighborGraph
    project      projection/ Projection
    measure      quality.json, a QualityCard; highlights.json, Highlights; evaluation.json, an Evaluation;
                 label_issues.json, DataIssues
    render       film.gif, film.mp4 and film.webp where asked for, frames/00000.png …, contact_sheet.png
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor

from core.domain.arrays import (
    Embedded,
    FloatArray,
    FrameFacts,
    NeighborGraph,
    OutlierScores,
    ProbeSet,
    Projection,
    TrainingLog,
)
from core.domain.evaluation import Evaluation, PhaseEvaluation
from core.domain.label_issues import DataIssues, Leaks
from core.domain.model_card import Learned
from core.domain.plan import StageName
from core.domain.quality import Highlight, Highlights, QualityCard
from core.domain.sources import ImageSource, LabelledImages
from core.domain.spec import HUB_PREFIX, refuse_many_classes
from core.domain.trained import source_run
from core.errors import NotReadyError, SourceUnavailableError, UnusableStateError
from core.layout.project import project_frames
from core.layout.review import Filmed, review
from core.learn import backbones, datasets, trained
from core.learn.backbones import Backbone
from core.learn.embed import embed, features_of, load_weights, save_weights, weights_sha256
from core.learn.fine_tune import Checkpoint
from core.learn.fine_tune import fine_tune as train
from core.learn.pacer import Sentinels, n_sentinels
from core.learn.pixels import ImagesOnDevice
from core.learn.training_log import LogRows
from core.learn.training_state import LiveState, StoredState
from core.measure import label_issues, leaks
from core.measure.evaluation import evaluate
from core.measure.outliers import score_frames
from core.render.frames import Scene
from core.render.produce import produce
from core.render.thumbnails import data_uri
from core.store import codecs
from worker import ranks
from worker.context import StageContext, StoppedError

Facts = dict[str, Any]

STATE_SHARE = 20
"""Training goes on for so many times as long as storing its state took, before it is stored again."""


def fine_tune(ctx: StageContext) -> Facts:
    """Train the model; at each captured step embed the probe set, or store the checkpoint for others to embed."""
    with ranks.together(ctx, _train_along), ctx.stoppable():
        training = _Training.begin(ctx)
        source, backbone = training.source, training.backbone
        probe = _load_probe(ctx, source, size=backbone.image_size)
        embedder = _Embedder(ctx, ImagesOnDevice(probe, backbone, device=training.accelerator.device))
        logs = [training.state.log] if training.state else []
        for checkpoint in training.checkpoints(ctx, on_pause=StateKeeper(ctx, training.sentinels)):
            logs.append(checkpoint.log)
            if ctx.spec.capture.mode == "inline":
                embedder.capture(checkpoint)
            else:
                _capture_checkpoint(ctx, checkpoint, source)
            _keep_weights(ctx, checkpoint, training)
    codecs.save(ctx.output / "log", LogRows.joined(logs).to_arrays())
    codecs.save(ctx.output / "probe", probe)
    (ctx.output / "leaks.json").write_text(_leaks(ctx, training, probe).model_dump_json())
    return {"weights_sha256": weights_sha256(backbone.model)}


def embed_frame(ctx: StageContext) -> Facts:
    """Embed the probe set by one stored checkpoint, on the very dataset and model that it was trained with."""
    index = ctx.stage.index or 0
    folder = ctx.checkpoint()
    origin = json.loads((folder / "origin.json").read_text())
    source = _open_source(ctx, digest=origin["dataset_digest"])
    backbone = _create_backbone(ctx, source, revision=origin["model_revision"])
    device = Accelerator(mixed_precision="no").device
    backbone.model.to(device)
    load_weights(folder / "weights.safetensors", backbone)
    probe = ImagesOnDevice(_load_probe(ctx, source, size=backbone.image_size), backbone, device=device)
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
        facts=[_frame_facts(folder) for folder in frames.folders],
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
        leaks=Leaks.model_validate_json(leaks.read_text()) if leaks.exists() else None,
    )


def _evaluated(ctx: StageContext, folders: list[Path], probe: ProbeSet) -> Iterator[PhaseEvaluation]:
    """Each phase by the frame of its end."""
    by_step = {codecs.load(folder / "frame", Embedded).step: folder for folder in folders}
    for stretch in ctx.spec.train.stretches:
        frame = codecs.load(by_step[stretch.last] / "frame", Embedded)
        yield evaluate(stretch.phase.name, frame, probe.labels, class_names=probe.class_names)


def render(ctx: StageContext) -> Facts:
    """Draw the frames and encode the film."""
    spec = ctx.spec
    card, highlights = _reviewed(ctx)
    scene = Scene(
        name=spec.name,
        projection=codecs.load(ctx.input(StageName.PROJECT) / "projection", Projection),
        scores=codecs.load(ctx.input(StageName.SCORE) / "scores", OutlierScores),
        log=codecs.load(ctx.input(StageName.FINE_TUNE) / "log", TrainingLog),
        probe=codecs.load(ctx.input(StageName.FINE_TUNE) / "probe", ProbeSet),
        embedded=[_frame_facts(folder) for folder in ctx.frames()],
        note=f"{_PROJECTED[spec.project.method]}{_ALIGNED[spec.align.method]}",
        highlights=highlights,
        card=card,
        phases=[(stretch.before, stretch.phase.name) for stretch in spec.train.stretches],
    )
    drawn = produce(ctx.output, spec.render, scene, on_frame=ctx.progress)
    return {"width": drawn.width, "height": drawn.height, "tween": drawn.tween}


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


@dataclass(frozen=True)
class _Training:
    """What every process of a training has."""

    source: ImageSource
    backbone: Backbone
    images: LabelledImages
    accelerator: Accelerator
    state: StoredState | None
    sentinels: Sentinels | None

    @classmethod
    def begin(cls, ctx: StageContext) -> "_Training":
        """Load data and model; waits for the other processes, if there are any."""
        train = ctx.spec.train
        source = _open_source(ctx)
        backbone = _create_backbone(ctx, source)
        images = datasets.load_training_images(
            source, train_size=train.train_size, size=backbone.image_size, seed=train.seed
        )
        state = _load_state(ctx, backbone)
        accelerator = Accelerator(mixed_precision="no")
        sentinels = _sentinels(ctx, source, backbone, accelerator)
        if state and sentinels:
            sentinels.restore(state.folder)
        return cls(source, backbone, images, accelerator, state, sentinels)

    def checkpoints(
        self, ctx: StageContext, *, on_pause: Callable[[LiveState], None] | None = None
    ) -> Iterator[Checkpoint]:
        """Train, and stop at each step that is to be captured."""

        def on_step(step: int) -> None:
            ctx.progress(step, ctx.spec.train.steps)
            ctx.look()

        return train(
            self.backbone,
            self.images,
            spec=ctx.spec.train,
            capture_steps=ctx.plan.steps,
            on_step=on_step,
            on_pause=on_pause,
            pause_now=lambda: bool(ctx.stop),
            resume_from=self.state,
            accelerator=self.accelerator,
            sentinels=self.sentinels,
        )


def _sentinels(
    ctx: StageContext, source: ImageSource, backbone: Backbone, accelerator: Accelerator
) -> Sentinels | None:
    """Who decides which steps are captured, if it is the model's drift that does."""
    spec = ctx.spec
    if spec.capture.spacing != "drift":
        return None
    count = n_sentinels(spec.capture.probe_size)
    images = datasets.load_probe_set(source, probe_size=count, size=backbone.image_size, seed=spec.train.seed)
    return Sentinels(
        backbone,
        ImagesOnDevice(images, backbone, device=accelerator.device),
        candidates=ctx.plan.steps,
        always=spec.train.phase_ends,
        frames=spec.capture.frames,
        spec=spec.train,
        accelerator=accelerator,
    )


def _load_state(ctx: StageContext, backbone: Backbone) -> StoredState | None:
    if ctx.state is None:
        return None
    try:
        state = StoredState.load(ctx.store.folder(ctx.state))
    except NotReadyError as error:
        raise UnusableStateError(f"the stored state of the training is gone: {error.detail}") from error
    state.require_fits(backbone)
    return state


def _train_along(ctx: StageContext) -> None:
    """The part of a process that only trains."""
    for _ in _Training.begin(ctx).checkpoints(ctx):
        pass


class StateKeeper:
    """Stores a training's state when it must stop, and now and then: so rarely that it costs at most a twentieth."""

    def __init__(self, ctx: StageContext, sentinels: Sentinels | None = None) -> None:
        self._ctx, self._sentinels = ctx, sentinels
        self._due_at = time.monotonic() + ctx.settings.state_seconds

    def __call__(self, live: LiveState) -> None:
        """At a moment when everything up to this step has been handed over.

        Raises:
            StoppedError: the stage was asked to stop.
        """
        if not self._ctx.stop and time.monotonic() < self._due_at:
            return
        started = time.monotonic()
        folder = self._ctx.beside(f"state-{live.step}")
        live.save(folder)
        if self._sentinels:
            self._sentinels.save(folder)
        self._ctx.keep_state(folder, step=live.step)
        took = time.monotonic() - started
        self._due_at = time.monotonic() + max(self._ctx.settings.state_seconds, STATE_SHARE * took)
        if self._ctx.stop:
            raise StoppedError


_PROJECTED = {
    "pca": "PCA",
    "global_pca": "one PCA for all frames",
    "smooth_pca": "PCA, slowly turning",
    "tsne": "t-SNE",
    "umap": "UMAP",
}
_ALIGNED = {"rigid": ", rigidly aligned", "procrustes": ", Procrustes-aligned", "none": ""}


def _open_source(ctx: StageContext, *, digest: str | None = None) -> ImageSource:
    name = ctx.spec.dataset
    expected = digest or ctx.pins.get(name) or ctx.spec.pinned.dataset_digest
    hub = name.startswith(HUB_PREFIX)
    source = datasets.open_source(
        name,
        uploaded=ctx.store.folder(ctx.dataset) if ctx.dataset else None,
        allowed_hub=ctx.settings.allowed_datasets,
        expected_digest=expected.rpartition("@")[2] if hub else expected,
    )
    if hub:
        ctx.pin(name, source.facts.digest)
    refuse_many_classes(source.facts)
    return source


def _create_backbone(ctx: StageContext, source: ImageSource, *, revision: str | None = None) -> Backbone:
    if source_run(ctx.spec.model):
        return _trained_backbone(ctx, source)
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


def _trained_backbone(ctx: StageContext, source: ImageSource) -> Backbone:
    model = ctx.spec.model
    try:
        folder = ctx.trained()
    except NotReadyError as error:
        raise SourceUnavailableError(
            f"The weights of {model} are not stored any more. Retry that run to make them again, and then this one.",
            field="model",
        ) from error
    return trained.load(folder, model, class_names=source.facts.class_names, seed=ctx.spec.train.seed)


def _load_probe(ctx: StageContext, source: ImageSource, *, size: int) -> ProbeSet:
    spec = ctx.spec
    return datasets.load_probe_set(source, probe_size=spec.capture.probe_size, size=size, seed=spec.train.seed)


class _Embedder:
    """Embeds the probe set at checkpoints of the live model; only the head is asked where only the head has changed."""

    def __init__(self, ctx: StageContext, probe: ImagesOnDevice) -> None:
        self._ctx, self._probe = ctx, probe
        self._seen: tuple[int, Tensor] | None = None

    def capture(self, checkpoint: Checkpoint) -> None:
        """Publish the checkpoint's frame."""
        frame = embed(
            checkpoint.backbone,
            self._probe,
            step=checkpoint.step,
            epoch=checkpoint.epoch,
            precision=self._ctx.spec.train.precision,
            features=self._features(checkpoint),
            probabilities=_is_last(self._ctx, checkpoint.step),
        )
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


def _leaks(ctx: StageContext, training: _Training, probe: ProbeSet) -> Leaks:
    spec = ctx.spec.train
    rows = datasets.training_rows(training.source, train_size=spec.train_size, seed=spec.seed)
    return leaks.find(training.images.images, rows, probe)


def _keep_weights(ctx: StageContext, checkpoint: Checkpoint, training: _Training) -> None:
    for part in ctx.stage.parts:
        if part.effect == "keeps" and part.step == checkpoint.step:
            folder = ctx.beside(part.id)
            trained.save(folder, checkpoint.backbone)
            ctx.publish(part, folder, asdict(_learned(training, step=checkpoint.step)))


def _learned(training: _Training, *, step: int) -> Learned:
    backbone, facts = training.backbone, training.source.facts
    return Learned(
        step=step,
        images=len(training.images.labels),
        classes=facts.class_names,
        digest=facts.digest,
        parameters=backbone.parameters,
        architecture=type(backbone.model).__name__,
        image_size=backbone.image_size,
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


def _frame_facts(folder: Path) -> FrameFacts:
    frame = codecs.load(folder / "frame", Embedded)
    return FrameFacts(frame.step, frame.epoch, frame.loss, frame.accuracy, frame.predictions)
