"""Early stopping: a training ends when its evaluation loss has not improved for `patience` evaluations in a row."""

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
    """Counts the evaluations without improvement, and ends the training when their number reaches `patience`."""

    def __init__(self, rule: EarlyStopping, *, after: int, accelerator: Accelerator) -> None:
        """Start without evaluations.

        Args:
            rule: patience and min_delta.
            after: the last step before the phase that may end early; evaluations up to this step do not count.
            accelerator: the processes. Losses are recorded in the main process; all processes end at the same step.
        """
        self._rule, self._after, self._accelerator = rule, after, accelerator
        self._best, self._waited = math.inf, 0

    @property
    def ended(self) -> bool:
        """True if the last `patience` evaluations were no improvement; other processes know this after a checkpoint."""
        return self._waited >= self._rule.patience

    def record_loss(self, step: int, loss: float) -> bool:
        """Count the evaluation of a checkpoint; called in the main process, before the next checkpoint is requested.

        A loss is an improvement if it is less than the best loss minus min_delta.

        Args:
            step: optimiser steps done.
            loss: evaluation loss; a loss that is NaN or infinite is no improvement.

        Returns:
            True if training ends with this checkpoint.
        """
        if step > self._after:
            improved = loss < self._best - self._rule.min_delta
            self._best, self._waited = (loss, 0) if improved else (self._best, self._waited + 1)
        return self.ended

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:  # noqa: ARG002 - its loss was recorded
        """Broadcast the main process's number of evaluations without improvement to all processes.

        Args:
            checkpoint: not used.
        """
        if self._accelerator.num_processes > 1:
            self._waited = int(broadcast(torch.tensor(self._waited, device=self._accelerator.device)))

    def save(self, folder: Path) -> None:
        """Write the best loss and the number of evaluations since.

        Args:
            folder: the folder of the saved state.
        """
        best = self._best if math.isfinite(self._best) else None  # JSON has no infinity
        (folder / _FILE).write_text(json.dumps({"best": best, "waited": self._waited}))

    def restore(self, folder: Path) -> None:
        """Continue from the file that `save` wrote.

        Args:
            folder: the folder of the saved state.

        Raises:
            UnusableStateError: the file is missing or broken.
        """
        try:
            stored = json.loads((folder / _FILE).read_text())
            self._best = math.inf if stored["best"] is None else float(stored["best"])
            self._waited = int(stored["waited"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UnusableStateError(
                f"{folder} holds no readable evaluation losses ({error}): train from the beginning"
            ) from error
