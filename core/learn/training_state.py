"""The saved state of a training: a folder from which the training continues as if it had not been interrupted.

    weights.safetensors    weights of the model, written by `save_weights`
    moments.safetensors    state of the optimiser, by the names of the parameters
    log.npy                all rows of the log so far, (L, 5) float64
    pacer.safetensors      movements and captured checkpoints, with adaptive capture only
    stopper.json           best loss and number of evaluations since, with early stopping only
    state.json             format, step, epoch, and names and shapes of the model's tensors; written last, so a folder
                           with this file is complete

Learning rate, random numbers and the order of the images follow from the step. The caller provides the same data, spec
and steps to capture again. No file is pickled.
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
    """An object with a state that a resumed training requires, in addition to model and optimiser."""

    def save(self, folder: Path) -> None:
        """Write the object's state into its own files in the folder of a saved state.

        Args:
            folder: the folder of the saved state.
        """


@dataclass(frozen=True, slots=True, eq=False)
class LiveState:
    """The state of a training between two steps; valid until the next step.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        backbone: the live model that learns, with adapters if the training uses LoRA.
        optimizer: the live optimiser of the current phase.
        measured: the log, fetched up to this step.
        hooks: saved together with the state; None means no hooks.
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
        """Write the state. The other processes of the training do not take part.

        Args:
            folder: a new or empty folder.
        """
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
    """A saved state in its folder. Weights and moments are read when a training continues from the state.

    Attributes:
        folder: the folder of the saved state; must exist until the training has started.
        step: optimiser steps done.
        epoch: passes over the training images done.
        log: all rows up to this step.
        about: the content of state.json.
    """

    folder: Path
    step: int
    epoch: float
    log: LogRows
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "StoredState":
        """Open a folder that `LiveState.save` wrote.

        Args:
            folder: the folder of the saved state.

        Raises:
            UnusableStateError: a file is missing or broken, or the state has another format.
        """
        about = _read_about(folder)
        try:
            log = LogRows(np.load(folder / _LOG, allow_pickle=False))
            for file in (_WEIGHTS, _MOMENTS):
                with safe_open(folder / file, framework="pt"):
                    pass  # safe_open compares the length of the file with the file's header
            return cls(folder, int(about["step"]), float(about["epoch"]), log, about)
        except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError, EOFError) as error:
            raise _not_whole(folder, error) from error

    @property
    def weights(self) -> Path:
        """Path of the file that `save_weights` wrote."""
        return self.folder / _WEIGHTS

    def require_fits(self, backbone: Backbone) -> None:
        """Check that the state belongs to this model.

        Args:
            backbone: the model that learns, with adapters if the training uses LoRA.

        Raises:
            UnusableStateError: the model has another id, or its tensors have other names, types or shapes.
        """
        for what, ours in _identity(backbone).items():
            stored = self.about.get(what)
            if stored != ours:
                difference = _difference(stored, ours)
                raise UnusableStateError(
                    f"{self.folder} is the state of another model ({difference}): train from the beginning"
                )

    def restore(self, backbone: Backbone, optimizer: Optimizer) -> None:
        """Load weights and moments into a model and its optimiser.

        Args:
            backbone: the model that learns, with adapters if the training uses LoRA.
            optimizer: an optimiser of this model's parameters, of the same kind as the saved optimiser.

        Raises:
            UnusableStateError: the state is of another model.
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
    """Type and shape of each tensor of the model, by the tensor's name."""
    return {name: f"{value.dtype}{list(value.shape)}" for name, value in model.state_dict().items()}


def _difference(stored: Any, ours: Any) -> str:  # noqa: ANN401 - what JSON holds
    if not (isinstance(stored, dict) and isinstance(ours, dict)):
        return f"{stored}, not {ours}"
    name = next(name for name in {**ours, **stored} if stored.get(name) != ours.get(name))
    return f"{name} is {stored.get(name, 'missing')}, not {ours.get(name, 'missing')}"


def _not_whole(folder: Path, error: Exception) -> UnusableStateError:
    return UnusableStateError(f"{folder} holds no complete state of a training ({error}): train from the beginning")
