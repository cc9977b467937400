"""Training hooks: what happens in a training beside learning, such as progress reports or early stopping.

`core.learn.fine_tune` calls each method at its moment, the hooks in the order in which they were given. With several
processes every process has hooks of the same kinds in the same order, so a hook may exchange tensors with its peers;
`on_pause` alone is called in the main process only.

A hook never changes what is learned: the weights of a training are the same with any hooks.
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
        backbone: the live model; its weights change when the next checkpoint is asked for. Where adapters are trained,
            it has the merged weights and no adapters.
        backbone_changed_at: the last step that changed anything before the head. Checkpoints with the same value have
            the same features.
        log: the rows since the checkpoint before, or since the state that was resumed from.
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
        """Whether training ends before the next step. Every process must give the same answer."""
        return False

    def on_step(self, step: int) -> None:
        """Called after each step, 0 included, and now and then during long preparations; what it raises ends it all."""

    def select(self, step: int, index: int) -> int | None:  # noqa: ARG002 - subclasses read the step
        """The index under which a step is captured, or None if it is not; asked at each of `capture_steps`.

        Args:
            step: optimiser steps done; the live model is in this state.
            index: what it is so far: the place of the step in `capture_steps`, or what the hook before has said.
        """
        return index

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Called when the consumer comes back from a checkpoint, the last one included."""

    def wants_pause(self) -> bool:
        """Whether `on_pause` should be called after this step; asked only if one process trains alone."""
        return False

    def on_pause(self, state: LiveState) -> None:
        """Called in the main process wherever training can be resumed from; may save the state.

        That is after each checkpoint and every 25 steps. All rows up to this step are in the log. The other processes
        wait at their next step.
        """

    def save(self, folder: Path) -> None:
        """Write what `restore` needs into the folder of a state; called by `LiveState.save`, in the main process."""

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote; called in every process, before the first step.

        Raises:
            UnusableStateError: the folder holds no such state, or it is broken.
        """


class HookList(TrainingHook):
    """Several hooks as one: each method calls that of every hook, in order."""

    def __init__(self, hooks: Sequence[TrainingHook]) -> None:
        self._hooks = hooks

    @property
    def ended(self) -> bool:
        """Whether any hook ends the training."""
        return any(hook.ended for hook in self._hooks)

    def on_step(self, step: int) -> None:
        """Call every hook."""
        for hook in self._hooks:
            hook.on_step(step)

    def select(self, step: int, index: int) -> int | None:
        """The index that the last hook gives; None as soon as one gives None."""
        selected: int | None = index
        for hook in self._hooks:
            selected = None if selected is None else hook.select(step, selected)
        return selected

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Call every hook."""
        for hook in self._hooks:
            hook.on_checkpoint(checkpoint)

    def wants_pause(self) -> bool:
        """Whether any hook wants it."""
        return any(hook.wants_pause() for hook in self._hooks)

    def on_pause(self, state: LiveState) -> None:
        """Call every hook."""
        for hook in self._hooks:
            hook.on_pause(state)

    def save(self, folder: Path) -> None:
        """Let every hook write."""
        for hook in self._hooks:
            hook.save(folder)

    def restore(self, folder: Path) -> None:
        """Let every hook continue."""
        for hook in self._hooks:
            hook.restore(folder)
