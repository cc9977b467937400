"""A training as each of its processes has it, and the hooks that report and store it. Runs in the child process."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from accelerate import Accelerator

from core.domain.sources import ImageSource, LabelledImages
from core.errors import NotReadyError, UnusableStateError
from core.learn import datasets
from core.learn.adaptive_capture import AdaptiveCapture, drift_probe_size
from core.learn.backbones import Backbone
from core.learn.early_stopping import EarlyStoppingHook
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint, TrainingHook
from core.learn.pixels import ImagesOnDevice
from core.learn.training_state import LiveState, StoredState
from worker.context import StageContext, StoppedError
from worker.loading import create_backbone, open_source

TRAINING_TO_STORING = 20
"""A state is stored again only after so many times the seconds that storing the last one took: at most a twentieth
of the time is spent on states. A choice: more of it would cost time always, less of it work after a loss only."""


@dataclass(frozen=True)
class Training:
    """What every process of a training has."""

    ctx: StageContext
    source: ImageSource
    backbone: Backbone
    images: LabelledImages
    accelerator: Accelerator
    state: StoredState | None
    early_stopping: EarlyStoppingHook | None

    @classmethod
    def begin(cls, ctx: StageContext) -> "Training":
        """Load data and model; waits for the other processes, if there are any."""
        train = ctx.spec.train
        source = open_source(ctx)
        backbone = create_backbone(ctx, source)
        images = datasets.load_training_images(
            source, train_size=train.train_size, size=backbone.image_size, seed=train.seed
        )
        state = _load_state(ctx)
        accelerator = Accelerator(mixed_precision="no")
        stopping = None
        if train.early_stopping is not None:  # only the last phase may end early
            after = train.phase_spans[-1].before
            stopping = EarlyStoppingHook(train.early_stopping, after=after, accelerator=accelerator)
        return cls(ctx, source, backbone, images, accelerator, state, stopping)

    def checkpoints(self, *hooks: TrainingHook) -> Iterator[Checkpoint]:
        """Train, and yield each captured checkpoint.

        Args:
            hooks: of the main process; they exchange nothing with other processes.
        """
        return fine_tune(
            self.backbone,
            self.images,
            spec=self.ctx.spec.train,
            capture_steps=self.ctx.plan.steps,
            hooks=[ProgressHook(self.ctx), *self._adaptive_capture(), *self._early_stopping(), *hooks],
            resume_from=self.state,
            accelerator=self.accelerator,
        )

    def _early_stopping(self) -> Iterator[TrainingHook]:
        if self.early_stopping is not None:
            yield self.early_stopping

    def _adaptive_capture(self) -> Iterator[TrainingHook]:
        """The hook that selects checkpoints by the model's drift, if the spec asks for it."""
        spec = self.ctx.spec
        if spec.capture.spacing != "drift":
            return
        size, seed = drift_probe_size(spec.capture.probe_size), spec.train.seed
        probe = datasets.load_probe_set(self.source, probe_size=size, size=self.backbone.image_size, seed=seed)
        yield AdaptiveCapture(
            self.backbone,
            ImagesOnDevice(probe, self.backbone, device=self.accelerator.device),
            candidates=self.ctx.plan.steps,
            always=spec.train.phase_ends,
            frames=spec.capture.frames,
            spec=spec.train,
            accelerator=self.accelerator,
        )


def _load_state(ctx: StageContext) -> StoredState | None:
    if ctx.state is None:
        return None
    try:
        return StoredState.load(ctx.store.folder(ctx.state))
    except NotReadyError as error:
        raise UnusableStateError(f"the stored state of the training is gone: {error.detail}") from error


def train_along(ctx: StageContext) -> None:
    """Train in a process that stores nothing."""
    for _ in Training.begin(ctx).checkpoints():
        pass


class ProgressHook(TrainingHook):
    """Reports each step, and ends the training if it was asked to stop too long ago."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx

    def on_step(self, step: int) -> None:
        """Report the step.

        Raises:
            StoppedError: the stage was asked to stop, and no state could be stored in the time there is.
        """
        self._ctx.progress(step, self._ctx.spec.train.steps)
        self._ctx.raise_if_stopped()


class PeriodicCheckpointer(TrainingHook):
    """Stores the training's state now and then, and before it stops on request."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx
        self._due_at = time.monotonic() + ctx.settings.state_seconds

    def wants_pause(self) -> bool:
        """Whether the stage was asked to stop."""
        return self._ctx.stop_requested

    def on_pause(self, state: LiveState) -> None:
        """Store the state if it is due or the stage was asked to stop.

        Raises:
            StoppedError: the stage was asked to stop, and the state is stored.
        """
        if not self._ctx.stop_requested and time.monotonic() < self._due_at:
            return
        started = time.monotonic()
        folder = self._ctx.beside(f"state-{state.step}")
        state.save(folder)
        self._ctx.keep_state(folder, step=state.step)
        took = time.monotonic() - started
        self._due_at = time.monotonic() + max(self._ctx.settings.state_seconds, TRAINING_TO_STORING * took)
        if self._ctx.stop_requested:
            raise StoppedError


class ThroughputTimer:
    """Iterates over the checkpoints of a training and measures the time between them, without what is done at each.

    Args:
        checkpoints: of the training, made as they are asked for.
        images: how many training images there are.
    """

    def __init__(self, checkpoints: Iterator[Checkpoint], *, images: int) -> None:
        self._checkpoints, self._images = checkpoints, images
        self._seconds, self._from, self._to = 0.0, 0.0, 0.0

    def __iter__(self) -> Iterator[Checkpoint]:
        """Each checkpoint once; the time before the first is spent on loading and is not measured."""
        checkpoint = next(self._checkpoints, None)
        if checkpoint:
            self._from = checkpoint.epoch
        while checkpoint:
            self._to = checkpoint.epoch
            yield checkpoint
            checkpoint = self._timed()

    def _timed(self) -> Checkpoint | None:
        began = time.monotonic()
        checkpoint = next(self._checkpoints, None)
        self._seconds += time.monotonic() - began
        return checkpoint

    def facts(self) -> dict[str, float]:
        """Training images a second, and the seconds of the whole training at that rate; nothing before it is known."""
        seen = (self._to - self._from) * self._images
        if not (seen and self._seconds):
            return {}
        throughput = seen / self._seconds
        return {"images_per_second": throughput, "seconds": self._to * self._images / throughput}
