"""Training as a generator of checkpoints: who iterates decides what is done at each one.

    for checkpoint in fine_tune(backbone, images, spec=spec, capture_steps=(0, 10, 20)):
        ...  # the live model; call eval() before asking it anything, training mode comes back by itself

A step takes `batch_size * gradient_accumulation` images of a shuffled pass over the training set (at the end
of the pass, what is left of it) in forward passes of at most `batch_size`; its gradient is the mean over all
of them. So accumulation saves memory and changes nothing else. With several processes each takes its share of
every forward pass, and all arrive at what one process would.

A training has phases (`core.domain.phases`), each with an optimiser of its own. Where only the head learns, what it is
given does not change: it is computed once, and a step is one small matrix product.

What is drawn at random, torch's dropout, the order of the images and how they are changed, follows from the seed and
the number of the step. During a step the first is torch's random state; at any other time that is the caller's, so how
often anybody looks never changes what is learned. And a training can go on from any state that it was asked to save,
and ends the same:

    fine_tune(..., on_pause=lambda state: state.save(folder))  # or only now and then
    fine_tune(..., resume_from=StoredState.load(folder))
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from core.domain.phases import Stretch
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn.adaptive_capture import Sentinels
from core.learn.augment import Shown, shown
from core.learn.backbones import Backbone
from core.learn.early_stopping import Stopper
from core.learn.embed import features_of, load_weights
from core.learn.learning import learning_layers, set_learning, set_modes
from core.learn.lora import adapted, merge
from core.learn.optimizer import make_optimizer, set_rate
from core.learn.passes import ShuffledPasses
from core.learn.pixels import ImagesOnDevice, autocast
from core.learn.randomness import derived_seed, own_randomness
from core.learn.training_log import GrowingLog, LogRows
from core.learn.training_state import LiveState, StoredState

# Losses stay on the device until a checkpoint or the next multiple of this many steps, so that a diverged run ends
# soon. Multiples, so that processes sum the same losses together wherever a training was resumed.
_FETCH_EVERY = 25


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model at one optimiser step.

    Attributes:
        index: 0, 1, 2 ... in the order of capture.
        step: optimiser steps done.
        epoch: passes over the training images done.
        backbone: the live model; its weights change as soon as the next checkpoint is asked for. Of a training of
            adapters, which it has not, it has the merged weights.
        body_step: when anything before the head changed last: features are the same at checkpoints that agree here.
        log: the rows since the checkpoint before, or since the state that was resumed from.
    """

    index: int
    step: int
    epoch: float
    backbone: Backbone
    body_step: int
    log: LogRows


def fine_tune(
    backbone: Backbone,
    data: LabelledImages,
    *,
    spec: TrainSpec,
    capture_steps: Sequence[int],
    on_step: Callable[[int], None] | None = None,
    on_pause: Callable[[LiveState], None] | None = None,
    pause_now: Callable[[], bool] | None = None,
    resume_from: StoredState | None = None,
    accelerator: Accelerator | None = None,
    sentinels: Sentinels | None = None,
    stopper: Stopper | None = None,
) -> Iterator[Checkpoint]:
    """Train the model, phase by phase, and hand it out at the steps asked for.

    On a CPU, the same arguments and number of threads give the same weights and log, bit by bit, resumed or not.

    Args:
        backbone: trained in place.
        data: (M, S, S, 3) images at the model's input size.
        spec: how to learn.
        capture_steps: rising steps, the first 0 (before any update), the last at most spec.steps; training
            ends with the last one.
        on_step: called with the step after each step, 0 included; what it raises ends the training.
        on_pause: called in the main process wherever training can be resumed from: when the consumer comes back
            from a checkpoint, the last one included, and every 25 steps in between. All rows up to this step are
            in the log then. It may save the state, which takes no other process; these wait for it at the next
            step. What it raises ends the training.
        pause_now: asked after each step whether to pause here too; one process that trains alone can do so anywhere.
        resume_from: where to go on; None means at the beginning. Only later checkpoints are yielded, none if it is
            the last one's state; the model has the state's weights all the same. Every process is given the same
            state, and what else decides about learning is as it was when it was saved.
        accelerator: device and processes; None means what accelerate finds. Its own mixed precision must be
            off: spec.precision is what counts. Every process iterates; what is stored comes from the main
            one's checkpoints.
        sentinels: choose which of capture_steps are captured; None means all. Where a training is resumed, they
            have been restored from the same state.
        stopper: ends the training with a checkpoint, of which the consumer in the main process has told it the loss;
            None means never. It has been restored likewise.

    Yields:
        A checkpoint a captured step. Its log has a row for step 0, for every spec.log_every steps and for
        every one of capture_steps.

    Raises:
        TrainingDivergedError: a loss or gradient since the last checkpoint was not finite; at the latest
            instead of the next checkpoint, and after at most 25 steps. No state is ever saved after it.
        UnusableStateError: the state is of another model.
        InvalidSpecError: a phase does not fit the model, or it cannot be adapted; before anything is trained.
        ValueError: the steps to capture do not rise from 0 to at most spec.steps, or end before the state.
    """
    _require_rising(capture_steps, limit=spec.steps)
    accelerator = accelerator or Accelerator(mixed_precision="no")
    training = _Training(backbone, data, spec=spec, accelerator=accelerator, on_step=on_step)
    first = 0
    if resume_from is None:
        training.begin()
    else:
        _require_reached(resume_from.step, last=capture_steps[-1])
        training.resume(resume_from)
        first = resume_from.step + 1
    if stopper is not None and stopper.stopped:
        return
    candidates = {step: index for index, step in enumerate(capture_steps)}
    for step in range(first, capture_steps[-1] + 1):
        logged = step in candidates or step % spec.log_every == 0
        epoch = training.advance(step, logged=logged) if step else training.look()
        if on_step is not None:
            on_step(step)
        captured = step in candidates and training.captures(step, sentinels)
        if captured:
            index = candidates[step] if sentinels is None else sentinels.n_captured - 1
            body_step, log = training.body_step(step), training.log.take()
            yield Checkpoint(index, step, epoch, backbone, body_step, log)
        elif step % _FETCH_EVERY == 0 or (training.is_alone and pause_now is not None and pause_now()):
            training.log.fetch()
        else:
            continue
        if on_pause is not None and training.is_main:
            on_pause(training.state(step, epoch=epoch))
        if captured and stopper is not None and stopper.ends():
            return


class _Training:
    """One run's model, optimiser, images and log."""

    def __init__(
        self,
        backbone: Backbone,
        data: LabelledImages,
        *,
        spec: TrainSpec,
        accelerator: Accelerator,
        on_step: Callable[[int], None] | None,
    ) -> None:
        self._spec, self._accelerator, self._on_step = spec, accelerator, on_step
        self._shown, self._backbone = backbone, adapted(backbone, spec)
        self._bare: nn.Module = self._backbone.model
        # What does not fit the model is refused now, not in the middle.
        for stretch in spec.stretches:
            learning_layers(self._backbone, stretch.phase)
        for model in (self._shown.model, self._bare):
            model.to(accelerator.device)
        self._images = ImagesOnDevice(data, backbone, device=accelerator.device)
        size = spec.batch_size * spec.gradient_accumulation
        self._passes = ShuffledPasses(len(self._images), size=size, seed=spec.seed, device=accelerator.device)
        self._stretches = spec.stretches
        self._model: Any = None  # as accelerate prepares them for the phase
        self._optimizer: Any = None
        self.log = GrowingLog(accelerator)

    @property
    def is_alone(self) -> bool:
        """Whether no other process takes part."""
        return bool(self._accelerator.num_processes == 1)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that stores."""
        return bool(self._accelerator.is_main_process)

    def state(self, step: int, *, epoch: float) -> LiveState:
        """All that this training has come to."""
        return LiveState(step, epoch, self._backbone, self._bare_optimizer, self.log)

    def body_step(self, step: int) -> int:
        """When anything before the head changed last, at this step."""
        return self._stretch.before if self._stretch.phase.trainable == "head" else step

    def begin(self) -> None:
        """Be before the first step."""
        self._enter(self._stretches[0])

    def resume(self, state: StoredState) -> None:
        """Be where the training was that saved this state."""
        state.require_fits(self._backbone)
        load_weights(state.weights, self._backbone)  # what is computed once is computed from them
        self._enter(next(stretch for stretch in self._stretches if state.step <= stretch.last))
        if state.step > self._stretch.before and self._accelerator.num_processes > 1:
            self._rehearse()
        state.restore(self._backbone, self._bare_optimizer)
        self.log = GrowingLog(self._accelerator, before=state.log)
        self.merge()

    def captures(self, step: int, sentinels: Sentinels | None) -> bool:
        """Whether a step that may be captured is; everybody sees the model as it is now."""
        self.merge()
        if sentinels is None:
            return True
        self.log.fetch()  # a training that diverged ends as such, before anybody looks at its model
        return sentinels.takes(step)

    def merge(self) -> None:
        """Let the model that everybody else sees be the one that learns."""
        merge(self._backbone, into=self._shown)

    def look(self) -> float:
        """Log the loss of the first batch before any update; in evaluation mode, so nothing moves."""
        first = Shown(self._images, self._passes.rows(1))
        self._bare.eval()
        with torch.no_grad():
            losses = [self._loss(self._bare, first, share) for share in self._shares(first.rows)]
        self.log.add(0, epoch=0.0, loss=torch.stack(losses).sum(), logged=True)
        return 0.0

    def advance(self, step: int, *, logged: bool) -> float:
        """Make one update; returns the passes over the training images done."""
        if step > self._stretch.last:
            self._enter(self._stretches[self._stretch.place + 1])
        if not self._backbone.head.training:  # somebody has looked at the model
            set_modes(self._backbone)
        rate = self._stretch.rate(step)
        set_rate(self._optimizer, rate)
        loss = self._gradients(step)
        norm = self._accelerator.clip_grad_norm_(self._model.parameters(), self._spec.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        epoch = self._passes.epoch(step)
        self.log.add(step, epoch=epoch, loss=loss, learning_rate=rate, gradient_norm=norm, logged=logged)
        return epoch

    def _enter(self, stretch: Stretch) -> None:
        """Begin a phase, with the weights as they are."""
        self._stretch = stretch
        layers = learning_layers(self._backbone, stretch.phase)
        set_learning(self._backbone, layers)
        self._bare_optimizer = make_optimizer(layers, stretch.phase)
        once = stretch.phase.trainable == "head" and not self._spec.augment.active
        self._features = self._computed_once() if once else None
        learning = self._bare if self._features is None else self._backbone.head
        # What exchanges the gradients of the phase before must be gone: it would exchange them once more, in each
        # process for as long as it lives there.
        if self._model is not None or self._accelerator.num_processes > 1:  # collecting takes a third of a second
            self._model = self._optimizer = None
            self._accelerator.free_memory()
            gc.collect()
        self._model, self._optimizer = self._accelerator.prepare(learning, self._bare_optimizer)
        set_modes(self._backbone)

    def _computed_once(self) -> Tensor:
        """What the head is given of each image, (M, D) float32, on the device; every process computes all of it."""

        def alive() -> None:
            if self._on_step is not None:
                self._on_step(self._stretch.before)

        return features_of(self._backbone, self._images, precision=self._spec.precision, on_batch=alive)

    def _rehearse(self) -> None:
        """Spend the first exchange of gradients, which goes in another order than all later ones.

        Only then do more than two processes add up their parts as they would have without interruption.
        """
        self._gradients(1)
        self._optimizer.zero_grad()

    def _gradients(self, step: int) -> Tensor:
        """Gradients of the mean loss over the step's images; returns this process's part of that loss, ()."""
        seed = derived_seed("step", self._spec.seed, self._accelerator.process_index, step)
        with own_randomness(seed, self._accelerator.device):
            return self._backward(shown(self._images, self._passes.rows(step), spec=self._spec, step=step))

    def _backward(self, given: Shown) -> Tensor:
        losses = []
        shares = self._shares(given.rows)
        for left, share in zip(reversed(range(len(shares))), shares, strict=True):
            with self._accelerator.no_sync(self._model) if left else nullcontext():
                loss = self._loss(self._model, given, share)
                # Gradients are averaged over processes, but each holds its part of a sum.
                self._accelerator.backward(loss * self._accelerator.num_processes)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _loss(self, model: nn.Module, given: Shown, share: Tensor) -> Tensor:
        """This share's part of the mean cross-entropy over all images of the step, (); no images, no part."""
        places = share if len(share) else share.new_zeros(1)  # every process must take part in every pass
        features = None if model is self._bare else self._features
        inputs = given.pixel_values(places) if features is None else features[given.rows[places]]
        with autocast(self._images.device, self._spec.precision):
            output = model(inputs)
        logits = output.logits if features is None else output
        return given.losses(logits.float(), places)[: len(share)].sum() / len(given.rows)

    def _shares(self, rows: Tensor) -> list[Tensor]:
        """Places in the step of this process's images of each forward pass."""
        passes = torch.split(torch.arange(len(rows), device=rows.device), self._spec.batch_size)
        return [one.tensor_split(self._accelerator.num_processes)[self._accelerator.process_index] for one in passes]


def _require_rising(steps: Sequence[int], *, limit: int) -> None:
    rising = all(before < after for before, after in pairwise(steps))
    if not steps or steps[0] != 0 or steps[-1] > limit or not rising:
        raise ValueError(f"steps to capture must rise from 0 to at most {limit}, they are {list(steps)}")


def _require_reached(step: int, *, last: int) -> None:
    if step > last:
        raise ValueError(f"the state to resume from is of step {step}, after the last one to capture, {last}")
