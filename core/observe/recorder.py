"""The recording of checkpoints, the same for inline capture, the offloaded embed stage and resumed runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from core.learn.backbones import Backbone
from core.learn.embed import embed, features_of
from core.learn.pixels import ImagesOnDevice, Precision
from core.observe import OBSERVERS
from core.observe.observer import CheckpointFacts
from core.store.objects import codecs


class Recorder:
    """Calls every observer at a checkpoint, and computes the features of the probe images once for all observers.

    The features are reused at later checkpoints until anything before the head changes. In linear probing only the
    head changes, so only the head is evaluated.
    """

    def __init__(self, probe: ImagesOnDevice, *, precision: Precision) -> None:
        """Keep the probe images and the precision; nothing is computed yet.

        Args:
            probe: N images, on the model's device.
            precision: precision of the forward passes.
        """
        self._probe, self._precision = probe, precision
        self._features: tuple[int, Tensor] | None = None

    def loss(self, backbone: Backbone, *, step: int, changed_at: int) -> float:
        """Compute the evaluation loss of a checkpoint: the same value as in the record.

        Args:
            backbone: the live model.
            step: optimiser steps done.
            changed_at: the last step that changed anything before the head.

        Returns:
            Mean cross-entropy over the probe images.

        Raises:
            DegenerateEmbeddingsError: a feature is NaN or infinite.
        """
        features = self._features_of(backbone, changed_at)
        return embed(backbone, self._probe, step=step, epoch=0.0, precision=self._precision, features=features).loss

    def record(
        self, folder: Path, backbone: Backbone, *, step: int, epoch: float, is_last: bool, changed_at: int
    ) -> Mapping[str, Any]:
        """Write the records of a checkpoint into the folder of its frame.

        Args:
            folder: folder of the frame; each observer gets a subfolder.
            backbone: the live model.
            step: optimiser steps done.
            epoch: passes over the training images done.
            is_last: True if training ends with this checkpoint.
            changed_at: the last step that changed anything before the head.

        Returns:
            The record of each observer, by the name of the observer's folder.

        Raises:
            DegenerateEmbeddingsError: a feature is NaN or infinite.
        """
        facts = CheckpointFacts(step, epoch, is_last, self._precision, self._features_of(backbone, changed_at))
        records = {one.folder: one.observe(backbone, self._probe, facts) for one in OBSERVERS}
        for name, record in records.items():
            codecs.save(folder / name, record)
        return records

    def _features_of(self, backbone: Backbone, changed_at: int) -> Tensor:
        if self._features is None or self._features[0] != changed_at:
            self._features = changed_at, features_of(backbone, self._probe, precision=self._precision)
        return self._features[1]
