"""The protocol of observers, and the facts of a checkpoint that observers get."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from core.learn.backbones import Backbone
from core.learn.pixels import ImagesOnDevice, Precision

Record_co = TypeVar("Record_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointFacts:
    """The facts of a checkpoint that an observer gets in addition to the model and the probe images.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        is_last: True if training ends with this checkpoint.
        precision: precision of the training's forward passes.
        features: (N, D) float32, penultimate features of the N probe images, on the model's device.
    """

    step: int
    epoch: float
    is_last: bool
    precision: Precision
    features: Tensor


class Observer(Protocol[Record_co]):
    """Makes one kind of record of a model at each checkpoint.

    An observer keeps no state: the same checkpoint gives the same record in any process and after any other records.
    An observer does not change weights, gradients, training modes, hooks, attention implementation or torch's random
    state. The penultimate features of the probe images are computed once for all observers. An observer makes every
    other forward pass itself.
    """

    @property
    def folder(self) -> str:
        """Name of the folder of this observer's records in a frame's artifact."""

    @property
    def kind(self) -> type[Record_co]:
        """The dataclass of the records, an argument of `codecs.load`. Its fields are arrays and JSON values."""

    def observe(self, backbone: Backbone, probe: ImagesOnDevice, facts: CheckpointFacts) -> Record_co:
        """Make the record of one checkpoint.

        Args:
            backbone: the live model, outside `fast_forward`, on the device of the probe images.
            probe: N images.
            facts: the facts of the checkpoint.

        Returns:
            A record of the type `kind`.
        """
