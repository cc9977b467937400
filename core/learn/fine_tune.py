"""Training as a generator of checkpoints: who iterates decides what is done at each one.

    for checkpoint in fine_tune(backbone, images, spec=spec, capture_steps=(0, 10, 20)):
        ...  # the live model; call eval() before asking it anything, training mode comes back by itself

A step takes `batch_size * gradient_accumulation` images of a shuffled pass over the training set (at the end
of the pass, what is left of it) in forward passes of at most `batch_size`; its gradient is the mean over all
of them. So accumulation saves memory and changes nothing else. With several processes each takes its share of
every forward pass, and all arrive at what one process would.

Torch's random state is training's own during a step and the caller's at any other time, so how often anybody
looks never changes what is learned.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count, pairwise

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone
from core.learn.optimizer import adamw, rate_factor
from core.learn.pixels import ImagesOnDevice, autocast
from core.learn.randomness import OwnRandomness
from core.learn.training_log import LogRow, PendingLog

# Losses stay on the device until a checkpoint, but for no more steps than this, so that a diverged run ends
# soon.
_FETCH_EVERY = 100


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model at one optimiser step.

    Attributes:
        index: 0, 1, 2 ... in the order of capture.
        step: optimiser steps done.
        epoch: passes over the training images done.
        backbone: the live model; its weights change as soon as the next checkpoint is asked for.
        log: the rows since the checkpoint before.
    """

    index: int
    step: int
    epoch: float
    backbone: Backbone
    log: tuple[LogRow, ...]


def fine_tune(
    backbone: Backbone,
    data: LabelledImages,
    *,
    spec: TrainSpec,
    capture_steps: Sequence[int],
    on_step: Callable[[int], None] | None = None,
    accelerator: Accelerator | None = None,
) -> Iterator[Checkpoint]:
    """Train all layers of the model with AdamW, and hand it out at the steps asked for.

    On a CPU, the same arguments and number of threads give the same weights, bit by bit.

    Args:
        backbone: trained in place.
        data: (M, S, S, 3) images at the model's input size.
        spec: how to learn.
        capture_steps: rising steps, the first 0 (before any update), the last at most spec.steps; training
            ends with the last one.
        on_step: called with the step after each step, 0 included; what it raises ends the training.
        accelerator: device and processes; None means what accelerate finds. Its own mixed precision must be
            off: spec.precision is what counts. Every process iterates; what is stored comes from the main
            one's checkpoints.

    Yields:
        A checkpoint a capture step. Its log has a row for step 0, for every spec.log_every steps and for
        every captured step.

    Raises:
        TrainingDivergedError: a loss or gradient since the last checkpoint was not finite; at the latest
            instead of the next checkpoint, and after at most 100 steps.
        ValueError: the steps to capture do not rise from 0 to at most spec.steps.
    """
    _require_rising(capture_steps, limit=spec.steps)
    training = _Training(backbone, data, spec=spec, accelerator=accelerator or Accelerator(mixed_precision="no"))
    captured = {step: index for index, step in enumerate(capture_steps)}
    for step in range(capture_steps[-1] + 1):
        logged = step in captured or step % spec.log_every == 0
        epoch = training.advance(step, logged=logged) if step else training.look()
        if on_step is not None:
            on_step(step)
        if step in captured:
            yield Checkpoint(captured[step], step, epoch, backbone, training.log.take())


class _Training:
    """One run's model, optimiser, images and random state."""

    def __init__(self, backbone: Backbone, data: LabelledImages, *, spec: TrainSpec, accelerator: Accelerator) -> None:
        self._spec, self._accelerator = spec, accelerator
        self._bare: nn.Module = backbone.model
        self._model, self._optimizer = accelerator.prepare(self._bare, adamw(self._bare, spec))
        self._images = ImagesOnDevice(data, backbone, device=accelerator.device)
        self._batches = self._shuffled()
        self._randomness = OwnRandomness(spec.seed + accelerator.process_index, accelerator.device)
        self.log = PendingLog(accelerator)

    def look(self) -> float:
        """Log the loss of the first batch before any update; in evaluation mode, so nothing moves."""
        _, rows = next(self._shuffled())
        self._bare.eval()
        with torch.no_grad():
            losses = [self._loss(self._bare, share, out_of=len(rows)) for share in self._shares(rows)]
        self.log.add(0, epoch=0.0, loss=torch.stack(losses).sum(), logged=True)
        return 0.0

    def advance(self, step: int, *, logged: bool) -> float:
        """Make one update; returns the passes over the training images done."""
        if not self._bare.training:
            self._model.train()
        epoch, rows = next(self._batches)
        rate = self._spec.learning_rate * rate_factor(step, steps=self._spec.steps, warmup=self._spec.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with self._randomness:
            loss = self._backward(rows)
        norm = self._accelerator.clip_grad_norm_(self._model.parameters(), self._spec.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.log.add(step, epoch=epoch, loss=loss, learning_rate=rate, gradient_norm=norm, logged=logged)
        if len(self.log) >= _FETCH_EVERY:
            self.log.fetch()
        return epoch

    def _backward(self, rows: Tensor) -> Tensor:
        """Gradients of the mean loss over the rows; returns this process's part of that loss, ()."""
        losses = []
        shares = self._shares(rows)
        for left, share in zip(reversed(range(len(shares))), shares, strict=True):
            with self._accelerator.no_sync(self._model) if left else nullcontext():
                loss = self._loss(self._model, share, out_of=len(rows))
                # Gradients are averaged over processes, but each holds its part of a sum.
                self._accelerator.backward(loss * self._accelerator.num_processes)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _loss(self, model: nn.Module, share: Tensor, *, out_of: int) -> Tensor:
        """This share's part of the mean cross-entropy over `out_of` images, (); no rows, no part."""
        rows = share if len(share) else share.new_zeros(1)  # every process must take part in every pass
        with autocast(self._images.device, self._spec.precision):
            logits = model(self._images.pixel_values(rows)).logits
        losses = cross_entropy(logits.float(), self._images.labels[rows], reduction="none")
        return losses[: len(share)].sum() / out_of

    def _shares(self, rows: Tensor) -> list[Tensor]:
        """This process's rows of each forward pass."""
        passes = torch.split(rows, self._spec.batch_size)
        return [one.tensor_split(self._accelerator.num_processes)[self._accelerator.process_index] for one in passes]

    def _shuffled(self) -> Iterator[tuple[float, Tensor]]:
        """The rows of each step, and the passes done after it; the same in every process."""
        order = torch.Generator().manual_seed(self._spec.seed)
        size = self._spec.batch_size * self._spec.gradient_accumulation
        for passes in count():
            done = 0
            shuffled = torch.randperm(len(self._images), generator=order).to(self._images.device)
            for rows in torch.split(shuffled, size):
                done += len(rows)
                yield passes + done / len(self._images), rows


def _require_rising(steps: Sequence[int], *, limit: int) -> None:
    rising = all(before < after for before, after in pairwise(steps))
    if not steps or steps[0] != 0 or steps[-1] > limit or not rising:
        raise ValueError(f"steps to capture must rise from 0 to at most {limit}, they are {list(steps)}")
