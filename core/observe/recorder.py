"""The one way in which checkpoints are recorded: inline, offloaded and resumed alike."""

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
    """Lets every observer record a checkpoint; features of the probe images are computed once for all of them.

    Features are kept while nothing before the head changes, as in linear probing: then only the head is asked.
    """

    def __init__(self, probe: ImagesOnDevice, *, precision: Precision) -> None:
        """Record nothing yet.

        Args:
            probe: N images, put on the device once.
            precision: of the forward passes.
        """
        self._probe, self._precision = probe, precision
        self._features: tuple[int, Tensor] | None = None

    def loss(self, backbone: Backbone, *, step: int, changed_at: int) -> float:
        """Evaluation loss of a checkpoint, exactly the one that is recorded.

        Args:
            backbone: the live model.
            step: optimiser steps done.
            changed_at: the last step that changed anything before the head.
        """
        features = self._features_of(backbone, changed_at)
        return embed(backbone, self._probe, step=step, epoch=0.0, precision=self._precision, features=features).loss

    def record(
        self, folder: Path, backbone: Backbone, *, step: int, epoch: float, is_last: bool, changed_at: int
    ) -> Mapping[str, Any]:
        """Write the records of a checkpoint into the folder of its frame.

        Args:
            folder: gets a folder for each observer.
            backbone: the live model.
            step: optimiser steps done.
            epoch: passes over the training images done.
            is_last: whether training ends with this checkpoint.
            changed_at: the last step that changed anything before the head.

        Returns:
            The records, by their folders' names.
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
