"""Effect of the thresholds of adaptive capture on the spacing of frames, replayed on one training of each preset."""

import argparse
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from bench.training import prepare
from core.domain.schedule import candidate_steps
from core.domain.spec import TrainSpec
from core.learn import datasets
from core.learn.drift_schedule import DriftSchedule
from core.learn.embed import embed
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.measure.motion import movement

PRESETS = ("vit-tiny", "resnet-tiny", "convnext-mini")
SPEC, FRAMES, PROBE, USED = TrainSpec(steps=300), 60, 500, 64
"""Training, number of frames, and numbers of probe images: all, and those of the drift probe."""
VALUES: dict[str, Sequence[object]] = {
    "EVEN_FRACTION": (0, 0.25, 0.5, 1),
    "EXPONENT": (0.25, 0.5, 1.0),
    "PRIOR_CANDIDATES": (1, 8, 64),
    "EXPONENTS": ((0.1, 1.5), (0.25, 1.0), (0.01, 4)),
    "probe": (8, 16, 64, PROBE),
}
"""Values of each threshold of DriftSchedule. "probe" is the number of images of the drift probe."""


def main(options: argparse.Namespace) -> None:  # noqa: ARG001 - this benchmark has no options
    print(
        f"digits, {SPEC.steps} steps, {FRAMES} frames. Each cell: standard deviation / largest of the movements "
        "between frames, relative to their mean.\n"
    )
    print(f"| threshold | value | {' | '.join(PRESETS)} |\n|---|---{'|---' * len(PRESETS)}|")
    candidates = candidate_steps(SPEC.steps, FRAMES)
    trainings = [_embeddings(preset, candidates) for preset in PRESETS]
    drift = SPEC.expected_drift()
    expected = [sum(drift[before:after]) for before, after in pairwise(candidates)]
    for name, values in VALUES.items():
        for value in values:
            found = " | ".join(_replayed(embeddings, expected, name, value) for embeddings in trainings)
            print(f"| {name} | {value} | {found} |", flush=True)


def _embeddings(preset: str, steps: Sequence[int]) -> list[np.ndarray]:
    """Train a preset. Return the embeddings of the probe images at each step, (N, D) float32 each."""
    source = datasets.open_source("digits", uploaded=None, allowed_hub=())
    backbone, images, shown = prepare(source, model=preset, spec=SPEC, probe_size=PROBE)
    probe = ImagesOnDevice(shown, backbone, device=torch.device("cpu"))
    found = fine_tune(backbone, images, spec=SPEC, capture_steps=steps)
    return [embed(backbone, probe, step=one.step, epoch=one.epoch).embeddings for one in found]


def _replayed(embeddings: Sequence[np.ndarray], expected: Sequence[float], name: str, value: object) -> str:
    """Select checkpoints with one changed threshold.

    Args:
        embeddings: embeddings at each candidate step, (N, D) float32 each.
        expected: expected drift between each two successive candidates.
        name: name of the threshold.
        value: value of the threshold.

    Returns:
        Standard deviation and largest of the movements between selected checkpoints, relative to their mean, as text.
    """
    schedule = DriftSchedule(expected, FRAMES)
    if name != "probe":
        setattr(schedule, name, value)
    rows = slice(value if name == "probe" else USED)
    for before, after in pairwise(embeddings):
        schedule.selects(movement(before[rows], after[rows]))
    moved = np.array([movement(embeddings[one], embeddings[other]) for one, other in pairwise(schedule.selected)])
    return f"{moved.std() / moved.mean():.2f} / {moved.max() / moved.mean():.2f}"
