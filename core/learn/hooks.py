"""Training hooks: everything in a training that is not learning, such as progress reports or early stopping.

`core.learn.fine_tune` calls the hooks in the order of its argument `hooks`. With several processes, every process has
hooks of the same kinds in the same order, so a hook may exchange tensors with the same hook of the other processes.
Only `on_pause` and `save` are called in the main process alone.

A hook never changes the weights: with any hooks a training gives the same weights at each step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.learn.backbones import Backbone
from core.learn.training_log import LogRows
from core.learn.training_state import LiveState


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The model at one optimiser step.

    Attributes:
        index: 0, 1, 2 ... in the order of capture.
        step: optimiser steps done.
        epoch: passes over the training images done.
        backbone: the live model. Its weights change when the next checkpoint is requested. With LoRA this model has
            the merged weights and no adapters.
        backbone_changed_at: the last step that changed anything before the head. Checkpoints with the same value have
            the same penultimate features.
        log: the rows since the previous checkpoint, or since the saved state from which the training continued.
    """

    index: int
    step: int
    epoch: float
    backbone: Backbone
    backbone_changed_at: int
    log: LogRows


class TrainingHook:
    """A hook that does nothing; subclasses override the methods that they need."""

    @property
    def ended(self) -> bool:
        """True if training ends before the next step. The value must be the same in every process."""
        return False

    def on_step(self, step: int) -> None:
        """Called after each step, including step 0, and after each batch of features that linear probing computes.

        An exception that this method raises ends the training.

        Args:
            step: optimiser steps done.
        """

    def select(self, step: int, index: int) -> int | None:  # noqa: ARG002 - subclasses read the step
        """Decide whether a step is captured; called at each step of `capture_steps`.

        Args:
            step: optimiser steps done; the live model has the weights of this step.
            index: the result of the previous hook; for the first hook the position of the step in `capture_steps`.

        Returns:
            The index of the checkpoint; None if the step is not captured.
        """
        return index

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Called after the consumer has handled a checkpoint, including the last checkpoint.

        Args:
            checkpoint: the checkpoint that was yielded.
        """

    def wants_pause(self) -> bool:
        """True if `on_pause` should be called after this step; called only if there is one process."""
        return False

    def on_pause(self, state: LiveState) -> None:
        """Called in the main process at each step from which a training can continue; may save the state.

        These are the captured steps, the multiples of 25, and the steps at which `wants_pause` returns True. The log
        has all rows up to this step. The other processes wait at their next step.

        Args:
            state: the state of the training after this step.
        """

    def save(self, folder: Path) -> None:
        """Write the state of the hook; called by `LiveState.save`, in the main process.

        Args:
            folder: the folder of the saved state.
        """

    def restore(self, folder: Path) -> None:
        """Continue from the state that `save` wrote; called in every process, before the first step.

        Args:
            folder: the folder of the saved state.

        Raises:
            UnusableStateError: the state of the hook is missing or broken.
        """


class HookList(TrainingHook):
    """Several hooks as one hook: each method calls the same method of every hook, in order."""

    def __init__(self, hooks: Sequence[TrainingHook]) -> None:
        self._hooks = hooks

    @property
    def ended(self) -> bool:
        """True if any hook ends the training."""
        return any(hook.ended for hook in self._hooks)

    def on_step(self, step: int) -> None:
        """Call every hook."""
        for hook in self._hooks:
            hook.on_step(step)

    def select(self, step: int, index: int) -> int | None:
        """Pass the index through all hooks; None as soon as a hook returns None."""
        selected: int | None = index
        for hook in self._hooks:
            selected = None if selected is None else hook.select(step, selected)
        return selected

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Call every hook."""
        for hook in self._hooks:
            hook.on_checkpoint(checkpoint)

    def wants_pause(self) -> bool:
        """True if any hook wants a pause."""
        return any(hook.wants_pause() for hook in self._hooks)

    def on_pause(self, state: LiveState) -> None:
        """Call every hook."""
        for hook in self._hooks:
            hook.on_pause(state)

    def save(self, folder: Path) -> None:
        """Save every hook."""
        for hook in self._hooks:
            hook.save(folder)

    def restore(self, folder: Path) -> None:
        """Restore every hook."""
        for hook in self._hooks:
            hook.restore(folder)
