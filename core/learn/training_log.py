"""What training measures at each step, kept on the device until somebody needs it."""

from dataclasses import dataclass
from math import isfinite, nan

import torch
from accelerate import Accelerator
from torch import Tensor

from core.errors import TrainingDivergedError


@dataclass(frozen=True, slots=True)
class LogRow:
    """One logged step.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        loss: mean training loss of the step's images, before the update; at step 0, where there is no update,
            the loss of the first batch in evaluation mode.
        learning_rate: rate used by the step; NaN at step 0.
        gradient_norm: before clipping; NaN at step 0.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class _Measured:
    """A step whose loss and gradient norm are still scalars on the device."""

    step: int
    epoch: float
    learning_rate: float
    loss: Tensor
    gradient_norm: Tensor
    logged: bool


class PendingLog:
    """Rows since they were last taken. Adding never waits for the device; fetching does, once."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._measured: list[_Measured] = []
        self._rows: list[LogRow] = []

    def __len__(self) -> int:
        """Steps not fetched yet."""
        return len(self._measured)

    def add(
        self,
        step: int,
        *,
        epoch: float,
        loss: Tensor,
        learning_rate: float = nan,
        gradient_norm: Tensor | None = None,
        logged: bool,
    ) -> None:
        """Remember a step.

        Args:
            step: optimiser steps done.
            epoch: passes done.
            loss: (), this process's part of the loss; the parts of all processes are summed.
            learning_rate: as used by the step.
            gradient_norm: (), the same in all processes; None where nothing was updated.
            logged: whether it makes a row; a step without a row is checked all the same.
        """
        norm = torch.zeros_like(loss) if gradient_norm is None else gradient_norm
        self._measured.append(_Measured(step, epoch, learning_rate, loss, norm, logged))

    def fetch(self) -> None:
        """Bring what was measured to the host.

        Raises:
            TrainingDivergedError: a loss or gradient norm is not finite; the first such step is named.
        """
        if not self._measured:
            return
        losses = self._accelerator.reduce(torch.stack([one.loss for one in self._measured]), "sum")
        norms = torch.stack([one.gradient_norm for one in self._measured])
        fetched = torch.stack([losses, norms]).tolist()
        for one, loss, norm in zip(self._measured, *fetched, strict=True):
            _require_finite(one, loss, norm)
            if one.logged:
                seen = norm if one.step else nan
                self._rows.append(LogRow(one.step, one.epoch, loss, one.learning_rate, seen))
        self._measured.clear()

    def take(self) -> tuple[LogRow, ...]:
        """Fetch, and hand over the rows.

        Raises:
            TrainingDivergedError: as `fetch`.
        """
        self.fetch()
        rows, self._rows = tuple(self._rows), []
        return rows


def _require_finite(measured: _Measured, loss: float, norm: float) -> None:
    if isfinite(loss) and isfinite(norm):
        return
    what = "loss" if not isfinite(loss) else "gradient"
    used = "" if measured.step == 0 else f" (the rate of this step was {measured.learning_rate:.3g})"
    raise TrainingDivergedError(
        f"The training {what} was no longer a finite number at step {measured.step}{used}. "
        "Lower train.learning_rate, raise train.warmup, lower train.clip_norm, or train in fp32; "
        "then start a new run.",
        field="train.learning_rate",
    )
