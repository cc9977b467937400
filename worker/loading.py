"""What a run names, loaded: its dataset, its model, its probe set. Runs in the child process."""

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
    """The run's dataset, as it was when the run was accepted or, of the hub, first loaded.

    Args:
        digest: what it must be; None: what is known of it.

    Raises:
        InvalidSpecError: it has too many classes.
        SourceUnavailableError: it cannot be loaded, or is another one by now.
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
    """The run's model before its training: a preset, a checkpoint of the hub, or what another run has trained.

    Args:
        revision: commit on the hub; None: the one that the run is bound to, or the newest.

    Raises:
        SourceUnavailableError: it cannot be loaded.
        UnusableModelError: it cannot be trained.
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
    """The images that are embedded, `size` pixels a side."""
    spec = ctx.spec
    return datasets.load_probe_set(source, probe_size=spec.capture.probe_size, size=size, seed=spec.train.seed)


def frame_facts(folders: Iterable[Path]) -> list[FrameFacts]:
    """What each embedded frame says beside its points."""
    frames = (codecs.load(folder / "frame", Embedded) for folder in folders)
    return [FrameFacts(frame.step, frame.epoch, frame.loss, frame.accuracy, frame.predictions) for frame in frames]


@dataclass(frozen=True)
class FrameEmbeddings:
    """The embeddings (N, D) of all frames. Each frame is mapped from its file when it is reached, as often as needed.

    Attributes:
        folders: of the embedded frames, in order.
    """

    folders: list[Path]

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[FloatArray]:
        for folder in self.folders:
            yield codecs.load_array(folder / "frame", "embeddings")
