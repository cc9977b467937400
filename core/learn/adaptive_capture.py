"""Adaptive capture: the embeddings of a few images decide at which steps the whole probe set is embedded.

The drift probe is a small set of images of the evaluation split. The drift probe is embedded at every candidate step,
and the movement of its embeddings decides which candidates are captured. Adaptive capture changes neither weights nor
random numbers, so the training is the same with any spacing.
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
"""Minimal size of the drift probe, and probe images per image of the drift probe; see `drift_probe_size`."""


def drift_probe_size(probe_size: int) -> int:
    """Compute the size of the drift probe: min(probe_size, max(64, probe_size // 50)).

    64 is measured by `python -m bench thresholds` on ten classes: the spread of the movements between the selected
    checkpoints differs by at most 0.04 from the spread with 500 images. 16 images are nearly as good; 8 images are not
    enough for a ConvNeXt. 50 is chosen by hand for large probe sets, which tend to have more classes. With four
    candidates per frame, one image in 50 adds a twelfth to the cost of capture.

    Args:
        probe_size: number of probe images.

    Returns:
        Number of images of the drift probe.

    >>> drift_probe_size(20), drift_probe_size(1000), drift_probe_size(10_000)
    (20, 64, 200)
    """
    return min(probe_size, max(_SMALLEST, probe_size // _ONE_IN))


class AdaptiveCapture(TrainingHook):
    """Selects checkpoints so that the movement between any two successive checkpoints is about equal."""

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
        """Prepare the selection of `frames` checkpoints among the candidates.

        Args:
            backbone: the model that is trained.
            images: the drift probe, on the model's device.
            candidates: rising steps, the first 0; the argument `capture_steps` of the training.
            always: candidates that are selected whatever the movement.
            frames: number of checkpoints to select, 2 to len(candidates); at least as many as step 0, the last
                candidate and `always` together.
            spec: the training's choices, which determine the expected drift and the precision.
            accelerator: device and processes. With several processes every process embeds, and every process uses the
                movement that the main process measured.

        Raises:
            ValueError: `frames` is out of its range.
        """
        self._backbone, self._images, self._spec, self._accelerator = backbone, images, spec, accelerator
        drift = spec.expected_drift()
        self._schedule = DriftSchedule(
            [sum(drift[before:after]) for before, after in pairwise(candidates)],
            frames,
            always=[candidates.index(step) for step in always],
        )
        self._embeddings: FloatArray | None = None

    def select(self, step: int, index: int) -> int | None:  # noqa: ARG002 - the index is the number of selected steps
        """Embed the drift probe, and decide whether the step is captured.

        Args:
            step: optimiser steps done; a candidate.
            index: not used.

        Returns:
            The number of selected steps before this step; None if the step is not captured.

        Raises:
            DegenerateEmbeddingsError: a feature is NaN or infinite.
        """
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
        """Write the last embeddings of the drift probe, all movements and the selected candidates.

        Args:
            folder: the folder of the saved state.
        """
        if self._embeddings is not None:
            moved = np.array(self._schedule.movements, dtype=np.float64)
            selected = np.array(self._schedule.selected)
            save_file({"seen": self._embeddings, "moved": moved, "captured": selected}, folder / _FILE)

    def restore(self, folder: Path) -> None:
        """Continue from the file that `save` wrote.

        Args:
            folder: the folder of the saved state.

        Raises:
            UnusableStateError: the file is missing or broken.
        """
        try:
            stored = load_file(folder / _FILE)
            self._embeddings = stored["seen"]
            self._schedule.restore(stored["moved"].tolist(), stored["captured"].tolist())
        except (OSError, SafetensorError, KeyError) as error:
            raise UnusableStateError(
                f"{folder} holds no readable list of captured checkpoints ({error}): train from the beginning"
            ) from error
