"""The protocol of observers, and what they are told of a checkpoint."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from core.learn.backbones import Backbone
from core.learn.pixels import ImagesOnDevice, Precision

Record_co = TypeVar("Record_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointFacts:
    """What an observer is told beside the model and the images.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        is_last: whether training ends with this checkpoint.
        precision: of the training's forward passes.
        features: (N, D) float32, penultimate features of the N probe images, on the model's device.
    """

    step: int
    epoch: float
    is_last: bool
    precision: Precision
    features: Tensor


class Observer(Protocol[Record_co]):
    """Records one kind of thing of a model at each checkpoint.

    An observer keeps no state: the same checkpoint gives the same record, whatever was recorded before and in whatever
    process. It leaves the model as it was: weights, gradients, modes, hooks, attention implementation and torch's
    random state. It makes its own forward passes; the features of the probe images alone are computed for all.
    """

    @property
    def folder(self) -> str:
        """The folder of its records in a frame's artifact."""

    @property
    def kind(self) -> type[Record_co]:
        """The dataclass of its records: named arrays, and values that JSON knows. `codecs.load` takes it."""

    def observe(self, backbone: Backbone, probe: ImagesOnDevice, facts: CheckpointFacts) -> Record_co:
        """The record of one checkpoint.

        Args:
            backbone: the live model, plain (outside `fast_forward`), on the device of the probe images.
            probe: N images.
            facts: of the checkpoint.
        """
