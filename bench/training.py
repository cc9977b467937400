"""The training of the digits demo in this process: with capture, without capture, and the forward passes alone."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator

from core.data.sources.builtin import BUILTIN
from core.domain.arrays import ProbeSet
from core.domain.plan import build
from core.domain.sources import ImageSource, LabelledImages
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.domain.stages import FINE_TUNE
from core.learn import backbones, datasets
from core.learn.backbones import Backbone
from core.learn.embed import embed
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.settings import Settings
from core.store.objects.artifacts import open_store
from testing.claims import claim_of
from worker.context import StageContext
from worker.job import Job
from worker.stages import STAGES

SPEC = RunSpec(
    name="digits, ViT from scratch",
    dataset="digits",
    train=TrainSpec(steps=300),
    capture=CaptureSpec(frames=60, probe_size=1000),
    pinned=PinnedSources(dataset_digest=BUILTIN["digits"].digest),
)


def with_capture() -> float:
    """Return the seconds of the stage `fine_tune`. Writing and hashing of files is included."""
    with _context() as ctx:
        started = time.perf_counter()
        STAGES["fine_tune"](ctx)
        return time.perf_counter() - started


def training_alone() -> float:
    """Return the seconds of the same training without capture."""
    backbone, images, _ = _prepare()
    started = time.perf_counter()
    for _ in fine_tune(backbone, images, spec=SPEC.train, capture_steps=(0, SPEC.train.steps)):
        pass
    return time.perf_counter() - started


def forward_passes_alone() -> float:
    """Return the seconds of embedding the probe set once for each frame of the film."""
    backbone, _, probe = _prepare()
    on_device = ImagesOnDevice(probe, backbone, device=Accelerator(mixed_precision="no").device)
    started = time.perf_counter()
    for index in range(SPEC.capture.frames):
        embed(backbone, on_device, step=index, epoch=0.0)
    return time.perf_counter() - started


def _prepare() -> tuple[Backbone, LabelledImages, ProbeSet]:
    source = datasets.open_source("digits", uploaded=None, allowed_hub=())
    return prepare(source, model=SPEC.model, spec=SPEC.train, probe_size=SPEC.capture.probe_size)


def prepare(
    source: ImageSource, *, model: str, spec: TrainSpec, probe_size: int
) -> tuple[Backbone, LabelledImages, ProbeSet]:
    """Load a model and its images.

    Args:
        source: the opened dataset.
        model: name of a preset.
        spec: training settings; its seed selects weights and images.
        probe_size: number of probe images.

    Returns:
        The model, the training images and the probe images.
    """
    backbone = backbones.create(
        model,
        class_names=source.facts.class_names,
        native_image_size=source.image_size,
        seed=spec.seed,
        allowed_models=(),
    )
    size = backbone.image_size
    images = datasets.load_training_images(source, train_size=spec.train_size, size=size, seed=spec.seed)
    return backbone, images, datasets.load_probe_set(source, probe_size=probe_size, size=size, seed=spec.seed)


@contextmanager
def _context() -> Iterator[StageContext]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        store = open_store(settings.artifacts, home=settings.root)
        store.prepare()
        plan = build(SPEC)
        parts = {part.id: part for part in plan.tasks_of(FINE_TUNE)[0].parts}

        def publish(kind: str, **message: object) -> None:
            if kind == "part":
                key = parts[str(message["part_id"])].key
                store.put(Path(str(message["folder"])), key, run_id="bench", token=1)

        output = store.attempt("bench", "fine_tune", token=1) / "output"
        output.mkdir()
        yield StageContext(Job(claim=claim_of(SPEC, "fine_tune"), output=output, settings=settings), store, publish)
