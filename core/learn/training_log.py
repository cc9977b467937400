"""The log of a training: loss, learning rate and gradient norm of each step, kept on the device until they are read."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from math import isfinite, nan
from typing import TypeAlias, overload

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from core.domain.arrays import TrainingLog
from core.errors import TrainingDivergedError

Table: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogRow:
    """One logged step.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        loss: mean training loss of the step's images before the update. At step 0, which has no update: the loss of the
            images of step 1, in evaluation mode.
        learning_rate: the head's learning rate at this step; NaN at step 0.
        gradient_norm: norm of the gradient of all learning weights, before clipping; NaN at step 0.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float


_COLUMNS = len(fields(LogRow))


class LogRows(Sequence[LogRow]):
    """Rows in the order of their steps, 40 bytes per row, since a log may have a million rows.

    Attributes:
        table: (L, 5) float64, one column per field of `LogRow`, in the order of the fields.
    """

    def __init__(self, table: Table) -> None:
        if table.dtype != np.float64 or table.ndim != 2 or table.shape[1] != _COLUMNS:  # noqa: PLR2004 - a table
            raise ValueError(f"a log must be (L, {_COLUMNS}) float64, but is {table.shape} {table.dtype}")
        self.table = table

    @classmethod
    def joined(cls, parts: Iterable["LogRows"]) -> "LogRows":
        """Concatenate the rows of several logs.

        Args:
            parts: the logs, in the order of their steps; may be empty.
        """
        return cls(np.concatenate([np.empty((0, _COLUMNS)), *(part.table for part in parts)]))

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> LogRow: ...
    @overload
    def __getitem__(self, index: slice) -> "LogRows": ...
    def __getitem__(self, index: int | slice) -> "LogRow | LogRows":
        if isinstance(index, slice):
            return LogRows(self.table[index])
        step, *measured = self.table[index].tolist()
        return LogRow(int(step), *measured)

    def to_arrays(self) -> TrainingLog:
        """Convert the log to the arrays that stages store."""
        step, epoch, loss, learning_rate, gradient_norm = self.table.T
        return TrainingLog(
            step=step.astype(np.int64),
            epoch=epoch.astype(np.float32),
            loss=loss.astype(np.float32),
            learning_rate=learning_rate.astype(np.float32),
            gradient_norm=gradient_norm.astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class _Measured:
    """The measurements of a step; loss and gradient norm are scalars on the device."""

    step: int
    epoch: float
    learning_rate: float
    loss: Tensor
    gradient_norm: Tensor
    logged: bool


class GrowingLog:
    """The log of a running training. `add` never waits for the device; `fetch` waits once."""

    def __init__(self, accelerator: Accelerator, *, before: LogRows | None = None) -> None:
        """Start a log.

        Args:
            accelerator: the processes whose losses are summed.
            before: the rows of the saved state from which the training continues; None means no rows.
        """
        self._accelerator = accelerator
        self._measured: list[_Measured] = []
        self._values = array("d", () if before is None else before.table.ravel())
        self._taken = len(self._values)

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
        """Add a step.

        Args:
            step: optimiser steps done.
            epoch: passes over the training images done.
            loss: (), this process's part of the loss; the parts of all processes are summed.
            learning_rate: the head's learning rate at this step; NaN at step 0.
            gradient_norm: (), the same in all processes; None at step 0.
            logged: True if the log gets a row for this step. `fetch` also checks steps without a row.
        """
        norm = torch.zeros_like(loss) if gradient_norm is None else gradient_norm
        self._measured.append(_Measured(step, epoch, learning_rate, loss, norm, logged))

    def fetch(self) -> None:
        """Copy the measurements since the last fetch to the host. All processes must fetch after the same step.

        Raises:
            TrainingDivergedError: a loss or gradient norm is NaN or infinite; the message names the first such step.
        """
        if not self._measured:
            return
        losses = self._accelerator.reduce(torch.stack([one.loss for one in self._measured]), "sum")
        norms = torch.stack([one.gradient_norm for one in self._measured])
        fetched = torch.stack([losses, norms]).tolist()
        for one, loss, norm in zip(self._measured, *fetched, strict=True):
            _require_finite(one, loss, norm)
            if one.logged:
                self._values.extend((one.step, one.epoch, loss, one.learning_rate, norm if one.step else nan))
        self._measured.clear()

    def rows(self) -> LogRows:
        """All fetched rows, including the rows of the saved state from which the training continued."""
        return _as_rows(self._values)

    def take(self) -> LogRows:
        """Fetch, and return the rows since the previous call.

        Raises:
            TrainingDivergedError: a loss or gradient norm is NaN or infinite.
        """
        self.fetch()
        rows = _as_rows(self._values[self._taken :])
        self._taken = len(self._values)
        return rows


def _as_rows(values: "array[float]") -> LogRows:
    return LogRows(np.array(values).reshape(-1, _COLUMNS))


def _require_finite(measured: _Measured, loss: float, norm: float) -> None:
    if isfinite(loss) and isfinite(norm):
        return
    what = "loss" if not isfinite(loss) else "gradient"
    used = "" if measured.step == 0 else f" (the learning rate of this step was {measured.learning_rate:.3g})"
    raise TrainingDivergedError(
        f"The training {what} was NaN or infinite at step {measured.step}{used}. "
        "Lower train.learning_rate, raise train.warmup, lower train.clip_norm, or train in fp32; "
        "then start a new run.",
        field="train.learning_rate",
    )
