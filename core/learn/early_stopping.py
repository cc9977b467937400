"""Early stopping: a training ends when its evaluation loss has not improved for a while."""

import json
import math
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from core.domain.spec import EarlyStopping
from core.errors import UnusableStateError
from core.learn.hooks import Checkpoint, TrainingHook

_FILE = "stopper.json"


class EarlyStoppingHook(TrainingHook):
    """Is told the loss of each evaluation, and ends the training by the rule."""

    def __init__(self, rule: EarlyStopping, *, after: int, accelerator: Accelerator) -> None:
        """Begin without any evaluation.

        Args:
            rule: when to end.
            after: the last step before the phase that may end early; evaluations up to it do not count.
            accelerator: with several processes the main one is told the losses, and all end where it does.
        """
        self._rule, self._after, self._accelerator = rule, after, accelerator
        self._best, self._waited = math.inf, 0

    @property
    def ended(self) -> bool:
        """Whether `patience` evaluations in a row were no improvement, as far as this process knows."""
        return self._waited >= self._rule.patience

    def record_loss(self, step: int, loss: float) -> bool:
        """Count the evaluation of a checkpoint, in the main process, before the next one is asked for.

        Args:
            step: optimiser steps done.
            loss: evaluation loss; one that is not finite is no improvement.

        Returns:
            Whether training ends with this checkpoint.
        """
        if step > self._after:
            improved = loss < self._best - self._rule.min_delta
            self._best, self._waited = (loss, 0) if improved else (self._best, self._waited + 1)
        return self.ended

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:  # noqa: ARG002 - its loss was recorded
        """Tell all processes what the main one has counted."""
        if self._accelerator.num_processes > 1:
            self._waited = int(broadcast(torch.tensor(self._waited, device=self._accelerator.device)))

    def save(self, folder: Path) -> None:
        """Write the best loss and the evaluations since."""
        best = self._best if math.isfinite(self._best) else None  # JSON has no infinity
        (folder / _FILE).write_text(json.dumps({"best": best, "waited": self._waited}))

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            UnusableStateError: it is not there, or broken.
        """
        try:
            stored = json.loads((folder / _FILE).read_text())
            self._best = math.inf if stored["best"] is None else float(stored["best"])
            self._waited = int(stored["waited"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UnusableStateError(
                f"{folder} does not say which losses were heard ({error}): train from the beginning"
            ) from error
