"""The updates of a training: model, optimiser, images and log of each phase. This module knows no hooks.

A step takes the next `batch_size * gradient_accumulation` images of a shuffled pass over the training set; the last
step of a pass takes the remaining images. The images go through the model in forward passes of at most `batch_size`
images. With several processes each process takes a part of every forward pass. The gradient of a step is the
mean over all its images, so neither gradient accumulation nor the number of processes changes the gradient, up to
rounding. There are two exceptions: batch normalisation takes its statistics over one forward pass of one process, and
dropout draws other numbers.

A training has phases (`core.domain.phases`), and each phase has its own optimiser. In linear probing without
augmentation, the penultimate features of all training images are computed once, and each step updates the head on
these features.

All randomness follows from the seed and the step: the order of the images, augmentation and dropout. Dropout also
depends on the process. torch's random state is set before each step and restored after the step, so random numbers
that the caller draws never change the weights.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from core.domain.phases import PhaseSpan
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn.augment import Shown, shown
from core.learn.backbones import Backbone
from core.learn.embed import features_of, load_weights
from core.learn.fast_forward import fast_forward
from core.learn.hooks import Checkpoint
from core.learn.learning import learning_layers, set_learning, set_modes
from core.learn.lora import adapted, merge
from core.learn.optimizer import make_optimizer, set_learning_rate
from core.learn.passes import ShuffledPasses
from core.learn.pixels import ImagesOnDevice, autocast
from core.learn.randomness import derived_seed, own_randomness
from core.learn.training_log import GrowingLog
from core.learn.training_state import LiveState, Stateful, StoredState


class Trainer:
    """One training in one process.

    Attributes:
        log: loss, learning rate and gradient norm of each step.
    """

    def __init__(
        self,
        backbone: Backbone,
        data: LabelledImages,
        *,
        spec: TrainSpec,
        accelerator: Accelerator | None,
        on_step: Callable[[int], None],
    ) -> None:
        """Check that all phases fit the model, and move model and images to the device.

        Args:
            backbone: the model; its weights are changed in place.
            data: (M, S, S, 3) uint8 images at the model's input size, and (M,) labels.
            spec: phases, batch size, precision, seed and the other choices of the training.
            accelerator: device and processes; None means the default of accelerate.
            on_step: called after each batch while linear probing computes features, with the last step before the
                phase.

        Raises:
            UnusableModelError: a phase requires the blocks of the model, and the model's family is not registered.
            InvalidSpecError: a phase does not fit the model, or LoRA cannot adapt the model.
        """
        self._spec, self._on_step = spec, on_step
        self._accelerator = accelerator or Accelerator(mixed_precision="no")
        self._exposed, self._backbone = backbone, adapted(backbone, spec)
        self._bare: nn.Module = self._backbone.model
        for span in spec.phase_spans:
            learning_layers(self._backbone, span.phase)
        for model in (self._exposed.model, self._bare):
            model.to(self._accelerator.device)
        self._images = ImagesOnDevice(data, backbone, device=self._accelerator.device)
        size = spec.batch_size * spec.gradient_accumulation
        self._passes = ShuffledPasses(len(self._images), size=size, seed=spec.seed, device=self._accelerator.device)
        self._step = 0
        self._model: Any = None  # model and optimiser after accelerate has prepared them for the phase
        self._optimizer: Any = None
        self.log = GrowingLog(self._accelerator)

    @property
    def is_alone(self) -> bool:
        """True if there is one process."""
        return bool(self._accelerator.num_processes == 1)

    @property
    def is_main(self) -> bool:
        """True in the main process, the only process that stores."""
        return bool(self._accelerator.is_main_process)

    @property
    def _epoch(self) -> float:
        return self._passes.epoch(self._step)

    def begin(self) -> None:
        """Begin the first phase, before step 0."""
        self._enter(self._spec.phase_spans[0])

    def resume(self, state: StoredState) -> None:
        """Continue from a saved state.

        Args:
            state: the saved state; the next step is state.step + 1.

        Raises:
            UnusableStateError: the state is of another model.
        """
        state.require_fits(self._backbone)
        load_weights(state.weights, self._backbone)  # _enter computes the features of linear probing from these weights
        self._enter(next(span for span in self._spec.phase_spans if state.step <= span.last))
        if state.step > self._span.before and not self.is_alone:
            self._rehearse()
        state.restore(self._backbone, self._bare_optimizer)
        self._step = state.step
        self.log = GrowingLog(self._accelerator, before=state.log)
        merge(self._backbone, into=self._exposed)

    def advance(self, step: int, *, logged: bool) -> None:
        """Make the next step and log it; step 0 changes no weight and logs the loss of the images of step 1.

        Args:
            step: number of the step: 0, or the previous step + 1.
            logged: True if the log gets a row for this step.
        """
        self._step = step
        if step == 0:
            self.log.add(0, epoch=self._epoch, loss=self._first_loss(), logged=logged)
            return
        if step > self._span.last:
            self._enter(self._spec.phase_spans[self._span.place + 1])
        if not self._backbone.head.training:  # the consumer has switched the model to evaluation mode
            set_modes(self._backbone)
        learning_rate = self._span.rate(step)
        set_learning_rate(self._optimizer, learning_rate)
        loss = self._gradients(step)
        norm = self._accelerator.clip_grad_norm_(self._model.parameters(), self._spec.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        measured = {"loss": loss, "learning_rate": learning_rate, "gradient_norm": norm}
        self.log.add(step, epoch=self._epoch, **measured, logged=logged)

    def expose(self) -> None:
        """Merge the adapters into the model that hooks and consumers see, and fetch the log.

        Without LoRA there is nothing to merge.

        Raises:
            TrainingDivergedError: a loss or gradient norm was not finite.
        """
        merge(self._backbone, into=self._exposed)
        self.log.fetch()

    def checkpoint(self, index: int) -> Checkpoint:
        """Make the checkpoint of the current step, with the log's rows since the previous checkpoint.

        Args:
            index: 0, 1, 2 ... in the order of capture.
        """
        probing = self._span.phase.trainable == "head"
        changed_at = self._span.before if probing else self._step
        return Checkpoint(index, self._step, self._epoch, self._exposed, changed_at, self.log.take())

    def state(self, hooks: Stateful) -> LiveState:
        """The state of the training after the current step.

        Args:
            hooks: saved together with the state.
        """
        return LiveState(self._step, self._epoch, self._backbone, self._bare_optimizer, self.log, hooks)

    def _enter(self, span: PhaseSpan) -> None:
        """Begin a phase: select the weights that learn, make a new optimiser, compute features for linear probing."""
        self._span = span
        layers = learning_layers(self._backbone, span.phase)
        set_learning(self._backbone, layers)
        self._bare_optimizer = make_optimizer(layers, span.phase)
        probing = span.phase.trainable == "head" and not self._spec.augment.active
        self._features = self._probed_features() if probing else None
        learning = self._backbone.head if probing else self._bare
        # The gradient exchange of the previous phase must be garbage-collected: while it exists in a process, it
        # exchanges the gradients a second time. The first phase has no predecessor, and a collection takes a third of
        # a second (bench/README.md, phases).
        if self._model is not None or not self.is_alone:
            self._model = self._optimizer = None
            self._accelerator.free_memory()  # it collects garbage
        self._model, self._optimizer = self._accelerator.prepare(learning, self._bare_optimizer)
        set_modes(self._backbone)

    def _probed_features(self) -> Tensor:
        """Penultimate features of all M training images, (M, D) float32, on the device; the same in every process."""
        return features_of(
            self._backbone,
            self._images,
            precision=self._spec.precision,
            on_batch=lambda: self._on_step(self._span.before),
        )

    def _rehearse(self) -> None:
        """Make one exchange of gradients and drop the gradients.

        The first exchange sums the gradients in another order than all later exchanges. Without this rehearsal, more
        than two processes would sum the gradients of the resumed step in another order than without interruption.
        """
        self._gradients(1)
        self._optimizer.zero_grad()

    def _first_loss(self) -> Tensor:
        """This process's part of the loss of the images of step 1, (); in evaluation mode, not augmented."""
        first = Shown(self._images, self._passes.rows(1))
        self._bare.eval()
        with torch.no_grad(), fast_forward(self._bare):
            return torch.stack([self._loss(self._bare, first, places) for places in self._batches(first.rows)]).sum()

    def _gradients(self, step: int) -> Tensor:
        """Compute the gradients of the step's mean loss; returns this process's part of the loss, ()."""
        seed = derived_seed("step", self._spec.seed, self._accelerator.process_index, step)
        images = self._passes.rows(step)
        # With precomputed features, only the head makes a forward pass.
        fast: AbstractContextManager[None] = fast_forward(self._bare) if self._features is None else nullcontext()
        with own_randomness(seed, self._accelerator.device), fast:
            return self._backward(shown(self._images, images, spec=self._spec, step=step))

    def _backward(self, given: Shown) -> Tensor:
        losses = []
        batches = self._batches(given.rows)
        for left, places in zip(reversed(range(len(batches))), batches, strict=True):
            with self._accelerator.no_sync(self._model) if left else nullcontext():
                loss = self._loss(self._model, given, places)
                # The exchange averages gradients over the processes, but the loss is the sum over the processes.
                self._accelerator.backward(loss * self._accelerator.num_processes)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _loss(self, model: nn.Module, given: Shown, own: Tensor) -> Tensor:
        """This process's part of the mean cross-entropy over all images of the step, (); 0 if it has no images.

        Args:
            model: the whole model; the head, if the features are precomputed.
            given: the R images of the step.
            own: (B,) int64, positions of this process's images among the R images.
        """
        places = own if len(own) else own.new_zeros(1)  # every process must take part in every forward pass
        features = None if model is self._bare else self._features
        inputs = given.pixel_values(places) if features is None else features[given.rows[places]]
        with autocast(self._images.device, self._spec.precision):
            output = model(inputs)
        logits = output.logits if features is None else output
        return given.losses(logits.float(), places)[: len(own)].sum() / len(given.rows)

    def _batches(self, rows: Tensor) -> list[Tensor]:
        """Positions of this process's images among the step's images: (B,) int64 for each forward pass."""
        passes = torch.split(torch.arange(len(rows), device=rows.device), self._spec.batch_size)
        return [one.tensor_split(self._accelerator.num_processes)[self._accelerator.process_index] for one in passes]
