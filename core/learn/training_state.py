"""What a training continues from: a folder from which it ends as if it had never been interrupted.

    weights.safetensors    of the model, as `save_weights` writes them
    moments.safetensors    what the optimiser remembers, by the names of the parameters
    log.npy                all rows so far, (L, 5) float64
    pacer.safetensors      which checkpoints adaptive capture chose, and why, where there is any
    stopper.json           the best loss and how long ago it was, where there is early stopping
    state.json             format, step, epoch, and the model it belongs to; written last: a folder that has it is whole

Nothing else is needed: learning rate, random state and the order of the images follow from the step, and data, spec
and steps to capture are the caller's to give again. Nothing is ever pickled.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from core.errors import UnusableStateError
from core.learn.backbones import Backbone
from core.learn.embed import load_weights, save_weights
from core.learn.optimizer import moments, restore_moments
from core.learn.training_log import GrowingLog, LogRows

_FORMAT = 1
_WEIGHTS, _MOMENTS, _LOG, _STATE = "weights.safetensors", "moments.safetensors", "log.npy", "state.json"


class Stateful(Protocol):
    """Something beside model and optimiser that a resumed training must know."""

    def save(self, folder: Path) -> None:
        """Write it into files of its own in the folder of a state."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveState:
    """A training between two steps; valid until the next one.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        backbone: the live model.
        optimizer: the live optimiser of its phase.
        measured: all that was measured so far, fetched.
        hooks: saved with it; None means none.
    """

    step: int
    epoch: float
    backbone: Backbone
    optimizer: Optimizer
    measured: GrowingLog
    hooks: Stateful | None = None

    @property
    def log(self) -> LogRows:
        """All rows up to this step."""
        return self.measured.rows()

    def save(self, folder: Path) -> None:
        """Write all of it into a new or empty folder; no other process is needed for that."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _STATE).unlink(missing_ok=True)
        save_weights(folder / _WEIGHTS, self.backbone)
        save_file(moments(self.backbone.model, self.optimizer), folder / _MOMENTS)
        np.save(folder / _LOG, self.log.table, allow_pickle=False)
        if self.hooks is not None:
            self.hooks.save(folder)
        about = {"format": _FORMAT, "step": self.step, "epoch": self.epoch, **_identity(self.backbone)}
        unfinished = folder / f"{_STATE}.unfinished"
        unfinished.write_text(json.dumps(about))
        unfinished.rename(folder / _STATE)


@dataclass(frozen=True, slots=True, eq=False)
class StoredState:
    """A state in its folder. Weights and moments stay there until a training is given them.

    Attributes:
        folder: where it is; must stay until training has started.
        step: optimiser steps done.
        epoch: passes over the training images done.
        log: all rows up to this step.
        about: what state.json says.
    """

    folder: Path
    step: int
    epoch: float
    log: LogRows
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "StoredState":
        """Open what `LiveState.save` wrote.

        Raises:
            UnusableStateError: the folder is incomplete, or of another format.
        """
        about = _read_about(folder)
        try:
            log = LogRows(np.load(folder / _LOG, allow_pickle=False))
            for file in (_WEIGHTS, _MOMENTS):
                with safe_open(folder / file, framework="pt"):
                    pass  # whoever opens it compares its length with what its header says
            return cls(folder, int(about["step"]), float(about["epoch"]), log, about)
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError, EOFError) as error:
            raise _not_whole(folder, error) from error

    @property
    def weights(self) -> Path:
        """The model's weights, as `save_weights` writes them."""
        return self.folder / _WEIGHTS

    def require_fits(self, backbone: Backbone) -> None:
        """Refuse another model than the one whose state this is.

        Raises:
            UnusableStateError: it is another one, or its weights have other names, types or shapes.
        """
        for what, ours in _identity(backbone).items():
            stored = self.about.get(what)
            if stored != ours:
                difference = _difference(stored, ours)
                raise UnusableStateError(
                    f"{self.folder} is the state of another model ({difference}): train from the beginning"
                )

    def restore(self, backbone: Backbone, optimizer: Optimizer) -> None:
        """Put weights and moments where they were; the optimiser is of this model's parameters.

        Raises:
            UnusableStateError: it is of another model.
        """
        self.require_fits(backbone)
        restore_moments(backbone.model, optimizer, load_file(self.folder / _MOMENTS))
        load_weights(self.weights, backbone)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / _STATE).read_text())
        stored_format = about["format"]
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise _not_whole(folder, error) from error
    if stored_format != _FORMAT:
        raise UnusableStateError(
            f"{folder} has format {stored_format}, this version reads {_FORMAT}: train from the beginning"
        )
    return about


def _identity(backbone: Backbone) -> dict[str, Any]:
    return {"model": backbone.model_id, "weights": _kinds(backbone.model)}


def _kinds(model: nn.Module) -> dict[str, str]:
    """Type and shape of each tensor, by its name."""
    return {name: f"{value.dtype}{list(value.shape)}" for name, value in model.state_dict().items()}


def _difference(stored: Any, ours: Any) -> str:  # noqa: ANN401 - what JSON holds
    if not (isinstance(stored, dict) and isinstance(ours, dict)):
        return f"{stored}, not {ours}"
    name = next(name for name in {**ours, **stored} if stored.get(name) != ours.get(name))
    return f"{name} is {stored.get(name, 'missing')}, not {ours.get(name, 'missing')}"


def _not_whole(folder: Path, error: Exception) -> UnusableStateError:
    return UnusableStateError(f"{folder} holds no whole state of a training ({error}): train from the beginning")
