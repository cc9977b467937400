"""The training of a run in one process, with hooks that report progress and save states.

It is used in the child process and in the other ranks (worker.ranks).
"""

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
"""Smallest pause between two saved states, as a multiple of the time that the last save took.

So saving states takes at most 1/20 of the training time (ADR 2 in docs/adr/). A smaller multiple slows down each
training. A larger multiple repeats more steps after a worker is lost. Chosen by hand; not measured.
"""


@dataclass(frozen=True)
class Training:
    """Data, model and saved state of a training in one of its processes.

    Attributes:
        ctx: context of the task.
        source: the opened dataset.
        backbone: the model, trained in place.
        images: (M, S, S, 3) uint8 training images with labels.
        accelerator: device and processes, without mixed precision.
        state: the state to resume from; None if the training starts from the beginning.
        early_stopping: the hook that ends the last phase early; None if the spec has no early stopping.
    """

    ctx: StageContext
    source: ImageSource
    backbone: Backbone
    images: LabelledImages
    accelerator: Accelerator
    state: StoredState | None
    early_stopping: EarlyStoppingHook | None

    @classmethod
    def begin(cls, ctx: StageContext) -> "Training":
        """Load the dataset, the model and the saved state. If there are other ranks, wait for them.

        Args:
            ctx: context of the task.

        Raises:
            UnusableStateError: the saved state is missing or damaged.
            EmbedreelError: the dataset or the model cannot be loaded: see worker.loading.
        """
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
            hooks: hooks that only the main process has. They must not communicate with other processes.
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
        """Yield the hook that selects checkpoints by the drift of the embeddings, if `capture.spacing` is "drift"."""
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
    """Take part in the training as another rank than the main process. This rank reports and stores nothing."""
    for _ in Training.begin(ctx).checkpoints():
        pass


class ProgressHook(TrainingHook):
    """Reports each step. Ends the training if it was asked to stop and its state could not be saved in time."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx

    def on_step(self, step: int) -> None:
        """Report the step.

        Raises:
            StoppedError: the task was asked to stop more than STOP_WITHIN_SECONDS ago.
        """
        self._ctx.progress(step, self._ctx.spec.train.steps)
        self._ctx.raise_if_stopped()


class PeriodicCheckpointer(TrainingHook):
    """Saves the state of the training at intervals of at least `state_seconds`, and before a requested stop."""

    def __init__(self, ctx: StageContext) -> None:
        self._ctx = ctx
        self._due_at = time.monotonic() + ctx.settings.state_seconds

    def wants_pause(self) -> bool:
        """Return True if the task was asked to stop."""
        return self._ctx.stop_requested

    def on_pause(self, state: LiveState) -> None:
        """Save the state if a save is due or the task was asked to stop.

        Args:
            state: the live state.

        Raises:
            StoppedError: the task was asked to stop; the state is saved.
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
    """Iterates over the checkpoints of a training and measures the training time between them.

    The time that the consumer spends at each checkpoint is not measured.

    Args:
        checkpoints: iterator that trains up to the next checkpoint.
        images: number of training images.
    """

    def __init__(self, checkpoints: Iterator[Checkpoint], *, images: int) -> None:
        self._checkpoints, self._images = checkpoints, images
        self._seconds, self._from, self._to = 0.0, 0.0, 0.0

    def __iter__(self) -> Iterator[Checkpoint]:
        """Yield each checkpoint. The time before the first checkpoint is loading time, and is not measured."""
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
        """Return the throughput, and the duration of the whole training at this throughput.

        Returns:
            `images_per_second` and `seconds`; empty if no training time was measured.
        """
        seen = (self._to - self._from) * self._images
        if not (seen and self._seconds):
            return {}
        throughput = seen / self._seconds
        return {"images_per_second": throughput, "seconds": self._to * self._images / throughput}
