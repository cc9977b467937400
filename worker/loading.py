"""Load the dataset, the model and the frames of a run. Used in the child process."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.data import sources
from core.domain.arrays import Embedded, FloatArray, FrameFacts, ProbeSet
from core.domain.fitting import refuse_many_classes
from core.domain.sources import ImageSource
from core.domain.trained import source_run
from core.errors import NotReadyError, SourceUnavailableError
from core.learn import backbones, datasets, trained
from core.learn.backbones import Backbone
from core.store.objects import codecs
from worker.context import StageContext


def open_source(ctx: StageContext, *, digest: str | None = None) -> ImageSource:
    """Open the dataset of the run, in the pinned revision.

    A hub dataset without a pinned revision is opened in its newest revision. The revision is then pinned.

    Args:
        ctx: context of the task.
        digest: required digest of the dataset; None requires the pinned digest, or no digest if none is pinned.

    Returns:
        The opened dataset.

    Raises:
        InvalidSpecError: the dataset has too many classes.
        UnknownDatasetError: the dataset does not exist.
        SourceUnavailableError: the dataset cannot be loaded, or its digest is not the required one.
        InvalidDatasetError: a hub dataset has no usable images, labels or splits.
    """
    pinned_as = sources.pinned_as(ctx.spec.dataset)
    pinned = ctx.pins.get(pinned_as) if pinned_as else None
    source = datasets.open_source(
        ctx.spec.dataset,
        uploaded=ctx.store.folder(ctx.dataset) if ctx.dataset else None,
        allowed_hub=ctx.settings.allowed_datasets,
        expected_digest=digest or pinned or ctx.spec.pinned.dataset_digest,
    )
    if pinned_as:
        ctx.pin(pinned_as, source.facts.digest)
    refuse_many_classes(source.facts)
    return source


def create_backbone(ctx: StageContext, source: ImageSource, *, revision: str | None = None) -> Backbone:
    """Create the model of the run as it is before training: a preset, a hub checkpoint, or another run's trained model.

    Args:
        ctx: context of the task.
        source: the opened dataset. Its class names determine the head, and its image size the input size of a preset.
        revision: commit of a hub checkpoint; None uses the pinned commit, or the newest commit if none is pinned.

    Returns:
        The model with a head for the dataset's classes.

    Raises:
        SourceUnavailableError: the model cannot be loaded.
        UnusableModelError: the model cannot be trained.
    """
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


def load_probe(ctx: StageContext, source: ImageSource, *, size: int) -> ProbeSet:
    """Load the probe images of the run.

    Args:
        ctx: context of the task.
        source: the opened dataset.
        size: side of the square images, pixels.

    Returns:
        N = `capture.probe_size` images of the evaluation split, stratified by class.

    Raises:
        InvalidSpecError: the evaluation split has fewer images, or the images do not fit into memory.
    """
    spec = ctx.spec
    return datasets.load_probe_set(source, probe_size=spec.capture.probe_size, size=size, seed=spec.train.seed)


def frame_facts(folders: Iterable[Path]) -> list[FrameFacts]:
    """Return the step, epoch, loss, accuracy and predictions of each frame.

    Args:
        folders: folders of the captured frames.

    Returns:
        One FrameFacts for each folder, in the same order.
    """
    frames = (codecs.load(folder / "frame", Embedded) for folder in folders)
    return [FrameFacts(frame.step, frame.epoch, frame.loss, frame.accuracy, frame.predictions) for frame in frames]


@dataclass(frozen=True)
class FrameEmbeddings:
    """The embeddings of all frames, (N, D) float32 for each frame.

    Each iteration maps one frame after another from its file, so that not all frames are in memory.

    Attributes:
        folders: folders of the captured frames, in order.
    """

    folders: list[Path]

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[FloatArray]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> FloatArray:
        return codecs.load_array(self.folders[index] / "frame", "embeddings")
