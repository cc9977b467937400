"""Where a training ends before its last step: when its evaluation loss has not improved for a while."""

import json
import math
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from core.domain.spec import EarlyStopping
from core.errors import UnusableStateError

_FILE = "stopper.json"


class Stopper:
    """Hears the loss of each evaluation, and says whether training ends with it."""

    def __init__(self, rule: EarlyStopping, *, after: int, accelerator: Accelerator) -> None:
        """Have heard nothing yet.

        Args:
            rule: when it is enough.
            after: the last step before the phase that may end early; what is heard up to it does not count.
            accelerator: with several processes the main one hears, and all end where it does.
        """
        self._rule, self._after, self._accelerator = rule, after, accelerator
        self._best, self._waited = math.inf, 0

    @property
    def stopped(self) -> bool:
        """Whether training has ended, so far as this process knows."""
        return self._waited >= self._rule.patience

    def hear(self, step: int, loss: float) -> bool:
        """Take in the evaluation at a step, in the main process; whether training ends with it.

        A loss that is no finite number is no improvement.
        """
        if step > self._after:
            improved = loss < self._best - self._rule.min_delta
            self._best, self._waited = (loss, 0) if improved else (self._best, self._waited + 1)
        return self.stopped

    def ends(self) -> bool:
        """Whether training ends here. Every process asks, after each evaluation."""
        if self._accelerator.num_processes > 1:
            self._waited = int(broadcast(torch.tensor(self._waited, device=self._accelerator.device)))
        return self.stopped

    def save(self, folder: Path) -> None:
        """Write what was heard into the folder of a training's state; no other process is needed for that."""
        best = self._best if math.isfinite(self._best) else None  # JSON has no infinity
        (folder / _FILE).write_text(json.dumps({"best": best, "waited": self._waited}))

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            UnusableStateError: it is not there, or broken.
        """
        try:
            heard = json.loads((folder / _FILE).read_text())
            self._best = math.inf if heard["best"] is None else float(heard["best"])
            self._waited = int(heard["waited"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UnusableStateError(
                f"{folder} does not say which losses were heard ({error}): train from the beginning"
            ) from error
