"""A training as each of its processes has it, and when its state is stored. Runs in the child process."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from accelerate import Accelerator

from core.domain.sources import ImageSource, LabelledImages
from core.errors import NotReadyError, UnusableStateError
from core.learn import datasets
from core.learn.adaptive_capture import Sentinels, n_sentinels
from core.learn.backbones import Backbone
from core.learn.early_stopping import Stopper
from core.learn.fine_tune import Checkpoint, fine_tune
from core.learn.pixels import ImagesOnDevice
from core.learn.training_state import LiveState, StoredState
from worker.context import StageContext, StoppedError
from worker.loading import create_backbone, open_source

STATE_SHARE = 20
"""Training goes on for so many times as long as storing its state took, before it is stored again."""


@dataclass(frozen=True)
class Training:
    """What every process of a training has."""

    source: ImageSource
    backbone: Backbone
    images: LabelledImages
    accelerator: Accelerator
    state: StoredState | None
    sentinels: Sentinels | None
    stopper: Stopper | None

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
        sentinels = _sentinels(ctx, source, backbone, accelerator)
        stopper = _stopper(ctx, accelerator)
        for memory in (sentinels, stopper):
            if state and memory:
                memory.restore(state.folder)
        return cls(source, backbone, images, accelerator, state, sentinels, stopper)

    def checkpoints(
        self, ctx: StageContext, *, on_pause: Callable[[LiveState], None] | None = None
    ) -> Iterator[Checkpoint]:
        """Train, and stop at each step that is to be captured."""

        def on_step(step: int) -> None:
            ctx.progress(step, ctx.spec.train.steps)
            ctx.look()

        return fine_tune(
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
            stopper=self.stopper,
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


def _stopper(ctx: StageContext, accelerator: Accelerator) -> Stopper | None:
    """Who may end the training early, if anybody may: in its last phase."""
    train = ctx.spec.train
    if train.early_stopping is None:
        return None
    return Stopper(train.early_stopping, after=train.stretches[-1].before, accelerator=accelerator)


def _load_state(ctx: StageContext) -> StoredState | None:
    if ctx.state is None:
        return None
    try:
        return StoredState.load(ctx.store.folder(ctx.state))
    except NotReadyError as error:
        raise UnusableStateError(f"the stored state of the training is gone: {error.detail}") from error


def train_along(ctx: StageContext) -> None:
    """The part of a process that only trains."""
    for _ in Training.begin(ctx).checkpoints(ctx):
        pass


class StateKeeper:
    """Stores a training's state when it must stop, and now and then: so rarely that it costs at most a twentieth."""

    def __init__(self, ctx: StageContext, *memories: Sentinels | Stopper | None) -> None:
        """Args: memories: of those who decide with the training, stored with each state."""
        self._ctx, self._memories = ctx, memories
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
        for memory in self._memories:
            if memory:
                memory.save(folder)
        self._ctx.keep_state(folder, step=live.step)
        took = time.monotonic() - started
        self._due_at = time.monotonic() + max(self._ctx.settings.state_seconds, STATE_SHARE * took)
        if self._ctx.stop:
            raise StoppedError


class Pace:
    """Goes through the checkpoints of a training, and takes the time between them: without what is done at each.

    Args:
        checkpoints: of the training, made as they are asked for.
        images: that it learns from.
    """

    def __init__(self, checkpoints: Iterator[Checkpoint], *, images: int) -> None:
        self._checkpoints, self._images = checkpoints, images
        self._seconds, self._from, self._to = 0.0, 0.0, 0.0

    def __iter__(self) -> Iterator[Checkpoint]:
        """Each once; the time before the first goes into loading, and is not taken."""
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
        """Training images a second, and the seconds that all of it takes at that rate; nothing while none are known."""
        seen = (self._to - self._from) * self._images
        if not (seen and self._seconds):
            return {}
        rate = seen / self._seconds
        return {"images_per_second": rate, "seconds": self._to * self._images / rate}
