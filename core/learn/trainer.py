"""The updates of a training: model, optimiser, images and log of each phase. It knows nothing of who watches.

A step takes `batch_size * gradient_accumulation` images of a shuffled pass over the training set (at the end of the
pass, what is left of it) in forward passes of at most `batch_size` images. Its gradient is the mean over all of them,
so accumulation saves memory and changes nothing else. With several processes each takes its share of every forward
pass, and the result is that of one process.

A training has phases (`core.domain.phases`), each with an optimiser of its own. In a phase of linear probing, where
only the head learns and images are not augmented, features are computed once and a step is one small matrix product.

All randomness (dropout, the order of the images, augmentation) follows from the seed and the number of the step.
torch's random state is set during a step and restored after it, so what the caller draws never changes what is learned.
"""

import gc
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
        log: what was measured at each step.
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
        """Refuse what does not fit the model, and move model and images to the device.

        Args:
            backbone: trained in place.
            data: (M, S, S, 3) images at the model's input size.
            spec: how to learn.
            accelerator: device and processes; None means what accelerate finds.
            on_step: called with the last step after each batch while the features of a phase are computed.
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
        self._model: Any = None  # model and optimiser as accelerate prepares them for the phase
        self._optimizer: Any = None
        self.log = GrowingLog(self._accelerator)

    @property
    def is_alone(self) -> bool:
        """Whether this is the only process."""
        return bool(self._accelerator.num_processes == 1)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that stores."""
        return bool(self._accelerator.is_main_process)

    @property
    def _epoch(self) -> float:
        return self._passes.epoch(self._step)

    def begin(self) -> None:
        """Go before the first step."""
        self._enter(self._spec.phase_spans[0])

    def resume(self, state: StoredState) -> None:
        """Continue where the training was when this state was saved.

        Raises:
            UnusableStateError: the state is of another model.
        """
        state.require_fits(self._backbone)
        load_weights(state.weights, self._backbone)  # features of linear probing are computed from them
        self._enter(next(span for span in self._spec.phase_spans if state.step <= span.last))
        if state.step > self._span.before and not self.is_alone:
            self._rehearse()
        state.restore(self._backbone, self._bare_optimizer)
        self._step = state.step
        self.log = GrowingLog(self._accelerator, before=state.log)
        merge(self._backbone, into=self._exposed)

    def advance(self, step: int, *, logged: bool) -> None:
        """Make update `step`, the next one, and log it; step 0 changes nothing and logs the loss of the first batch."""
        self._step = step
        if step == 0:
            self.log.add(0, epoch=self._epoch, loss=self._first_loss(), logged=logged)
            return
        if step > self._span.last:
            self._enter(self._spec.phase_spans[self._span.place + 1])
        if not self._backbone.head.training:  # the consumer has put the model into evaluation mode
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
        """Give the model that hooks and consumers see the weights of the one that learns, if these are finite.

        Raises:
            TrainingDivergedError: a loss or gradient norm was not finite.
        """
        merge(self._backbone, into=self._exposed)
        self.log.fetch()

    def checkpoint(self, index: int) -> Checkpoint:
        """The live model as it is now, with the rows since the checkpoint before."""
        probing = self._span.phase.trainable == "head"
        changed_at = self._span.before if probing else self._step
        return Checkpoint(index, self._step, self._epoch, self._exposed, changed_at, self.log.take())

    def state(self, hooks: Stateful) -> LiveState:
        """What this training continues from, together with what its hooks do."""
        return LiveState(self._step, self._epoch, self._backbone, self._bare_optimizer, self.log, hooks)

    def _enter(self, span: PhaseSpan) -> None:
        """Begin a phase, with the weights as they are."""
        self._span = span
        layers = learning_layers(self._backbone, span.phase)
        set_learning(self._backbone, layers)
        self._bare_optimizer = make_optimizer(layers, span.phase)
        probing = span.phase.trainable == "head" and not self._spec.augment.active
        self._features = self._probed_features() if probing else None
        learning = self._backbone.head if probing else self._bare
        # The gradient exchange of the phase before must be collected: while it lives in a process, it exchanges the
        # gradients once more. A training's first phase has none, and collecting takes a third of a second.
        if self._model is not None or not self.is_alone:
            self._model = self._optimizer = None
            self._accelerator.free_memory()
            gc.collect()
        self._model, self._optimizer = self._accelerator.prepare(learning, self._bare_optimizer)
        set_modes(self._backbone)

    def _probed_features(self) -> Tensor:
        """Penultimate features of all training images, (M, D) float32, on the device; every process computes all."""
        return features_of(
            self._backbone,
            self._images,
            precision=self._spec.precision,
            on_batch=lambda: self._on_step(self._span.before),
        )

    def _rehearse(self) -> None:
        """Make the first exchange of gradients, which adds them up in another order than all later ones.

        Without it, more than two processes would not add up their gradients as they would have without interruption.
        """
        self._gradients(1)
        self._optimizer.zero_grad()

    def _first_loss(self) -> Tensor:
        """This process's part of the loss of the first batch, (); in evaluation mode, so nothing changes."""
        first = Shown(self._images, self._passes.rows(1))
        self._bare.eval()
        with torch.no_grad(), fast_forward(self._bare):
            return torch.stack([self._loss(self._bare, first, places) for places in self._batches(first.rows)]).sum()

    def _gradients(self, step: int) -> Tensor:
        """Gradients of the mean loss over the step's images; returns this process's part of that loss, ()."""
        seed = derived_seed("step", self._spec.seed, self._accelerator.process_index, step)
        images = self._passes.rows(step)
        # In linear probing the body makes no forward pass.
        fast: AbstractContextManager[None] = fast_forward(self._bare) if self._features is None else nullcontext()
        with own_randomness(seed, self._accelerator.device), fast:
            return self._backward(shown(self._images, images, spec=self._spec, step=step))

    def _backward(self, given: Shown) -> Tensor:
        losses = []
        batches = self._batches(given.rows)
        for left, places in zip(reversed(range(len(batches))), batches, strict=True):
            with self._accelerator.no_sync(self._model) if left else nullcontext():
                loss = self._loss(self._model, given, places)
                # Gradients are averaged over processes, but each process holds its part of a sum.
                self._accelerator.backward(loss * self._accelerator.num_processes)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _loss(self, model: nn.Module, given: Shown, own: Tensor) -> Tensor:
        """This process's part of the mean cross-entropy over all images of the step, (); 0 if it has no images.

        Args:
            model: all of it, or the head in linear probing.
            given: the R images of the step.
            own: (B,) int64, places of this process's images among them.
        """
        places = own if len(own) else own.new_zeros(1)  # every process must take part in every forward pass
        features = None if model is self._bare else self._features
        inputs = given.pixel_values(places) if features is None else features[given.rows[places]]
        with autocast(self._images.device, self._spec.precision):
            output = model(inputs)
        logits = output.logits if features is None else output
        return given.losses(logits.float(), places)[: len(own)].sum() / len(given.rows)

    def _batches(self, rows: Tensor) -> list[Tensor]:
        """Places in the step of this process's images, for each forward pass."""
        passes = torch.split(torch.arange(len(rows), device=rows.device), self._spec.batch_size)
        return [one.tensor_split(self._accelerator.num_processes)[self._accelerator.process_index] for one in passes]
