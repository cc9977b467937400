"""Adaptive capture: a few images decide at which steps the whole probe set is embedded.

A drift probe, a few images of the evaluation split, is embedded at every candidate step. How far its embeddings move,
and nothing else, decides which candidates are captured. Neither the weights nor anything drawn at random depends on it,
so the training is the same with any spacing.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.domain.arrays import FloatArray
from core.domain.spec import TrainSpec
from core.errors import UnusableStateError
from core.learn.backbones import Backbone
from core.learn.drift_schedule import DriftSchedule
from core.learn.embed import embed
from core.learn.hooks import TrainingHook
from core.learn.pixels import ImagesOnDevice
from core.measure.motion import movement

_FILE = "pacer.safetensors"
_SMALLEST, _ONE_IN = 64, 50


def drift_probe_size(probe_size: int) -> int:
    """How many images the drift probe has: 64, one in 50 of a large probe set, no more than a small one has.

    64 images select checkpoints as evenly spaced as 500 do, within 0.04 of spread; 16 do nearly as well, 8 of a
    ConvNeXt not (`python -m bench thresholds`). That was measured on ten classes. One in 50 is a choice for large probe
    sets, which tend to have more classes: at four candidates a frame it adds a twelfth to the cost of capture.

    >>> drift_probe_size(20), drift_probe_size(1000), drift_probe_size(10_000)
    (20, 64, 200)
    """
    return min(probe_size, max(_SMALLEST, probe_size // _ONE_IN))


class AdaptiveCapture(TrainingHook):
    """Selects checkpoints so that the model moves about as far between any two of them."""

    def __init__(
        self,
        backbone: Backbone,
        images: ImagesOnDevice,
        *,
        candidates: Sequence[int],
        always: Sequence[int] = (),
        frames: int,
        spec: TrainSpec,
        accelerator: Accelerator,
    ) -> None:
        """Watch the model at some steps, and select `frames` of them.

        Args:
            backbone: the model that is trained.
            images: the drift probe, on the model's device.
            candidates: rising steps, the first 0: `capture_steps` of the training.
            always: those of them that are selected however little moves.
            frames: how many to select, 2 to len(candidates), and enough for those.
            spec: how the model learns.
            accelerator: with several processes all embed, and all follow the main one's decision.
        """
        self._backbone, self._images, self._spec, self._accelerator = backbone, images, spec, accelerator
        drift = spec.expected_drift()
        self._schedule = DriftSchedule(
            [sum(drift[before:after]) for before, after in pairwise(candidates)],
            frames,
            always=[candidates.index(step) for step in always],
        )
        self._embeddings: FloatArray | None = None

    def select(self, step: int, index: int) -> int | None:  # noqa: ARG002 - its own count is the index
        """Embed the drift probe; the number of selected steps before this one, or None."""
        before, self._embeddings = self._embeddings, self._embed(step)
        if before is not None:
            moved = movement(before, self._embeddings)
            if self._accelerator.num_processes > 1:
                moved = float(broadcast(torch.tensor(moved, dtype=torch.float64, device=self._images.device)))
            if not self._schedule.selects(moved):
                return None
        return len(self._schedule.selected) - 1

    def _embed(self, step: int) -> FloatArray:
        frame = embed(self._backbone, self._images, step=step, epoch=0.0, precision=self._spec.precision)
        return frame.embeddings

    def save(self, folder: Path) -> None:
        """Write all that the choice depends on."""
        if self._embeddings is not None:
            moved = np.array(self._schedule.movements, dtype=np.float64)
            selected = np.array(self._schedule.selected)
            save_file({"seen": self._embeddings, "moved": moved, "captured": selected}, folder / _FILE)

    def restore(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            UnusableStateError: it is not there, or broken.
        """
        try:
            stored = load_file(folder / _FILE)
            self._embeddings = stored["seen"]
            self._schedule.restore(stored["moved"].tolist(), stored["captured"].tolist())
        except (OSError, SafetensorError, KeyError) as error:
            raise UnusableStateError(
                f"{folder} does not say which checkpoints were captured ({error}): train from the beginning"
            ) from error
