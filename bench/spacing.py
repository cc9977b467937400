"""Movement of the embeddings between checkpoints of one training, for each spacing of the checkpoints."""

import argparse
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from bench.training import SPEC as DIGITS
from bench.training import prepare
from core.domain.schedule import candidate_steps, capture_steps
from core.domain.sources import ImageSource
from core.learn import datasets
from core.learn.adaptive_capture import AdaptiveCapture, drift_probe_size
from core.learn.embed import embed
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.measure.motion import movement

MODEL, SPEC = DIGITS.model, DIGITS.train
FRAMES = (20, 60)
PROBE = 500
STILL = 0.02
"""Movement (`core.measure.motion.movement`) below which a frame counts as still. Chosen by hand; not measured."""


def main(options: argparse.Namespace) -> None:  # noqa: ARG001 - this benchmark has no options
    source = datasets.open_source("digits", uploaded=None, allowed_hub=())
    backbone, images, shown = prepare(source, model=MODEL, spec=SPEC, probe_size=PROBE)
    probe = ImagesOnDevice(shown, backbone, device=Accelerator(mixed_precision="no").device)
    every_step = [
        embed(backbone, probe, step=one.step, epoch=one.epoch).embeddings
        for one in fine_tune(backbone, images, spec=SPEC, capture_steps=range(SPEC.steps + 1))
    ]
    print(f"digits, {SPEC.steps} steps; movement of {PROBE} probe images between frames.\n")
    print(
        "| frames | spacing | spread of the movements, by their mean | longest, by the mean | frames that move under "
        f"{STILL:.0%} |\n|---|---|---|---|---|"
    )
    for frames in FRAMES:
        chosen = {
            "even": capture_steps(SPEC.steps, frames),
            "log": capture_steps(SPEC.steps, frames, spacing="log"),
            "drift": _by_drift(source, frames),
        }
        for name, steps in chosen.items():
            moved = _movements(every_step, steps)
            mean = moved.mean()
            still = int((moved < STILL).sum())
            print(f"| {frames} | {name} | {moved.std() / mean:.2f} | {moved.max() / mean:.2f} | {still} |", flush=True)


def _by_drift(source: ImageSource, frames: int) -> list[int]:
    """Return the steps that adaptive capture selects in the same training."""
    backbone, images, watched = prepare(source, model=MODEL, spec=SPEC, probe_size=drift_probe_size(PROBE))
    accelerator = Accelerator(mixed_precision="no")
    candidates = candidate_steps(SPEC.steps, frames)
    adaptive = AdaptiveCapture(
        backbone,
        ImagesOnDevice(watched, backbone, device=accelerator.device),
        candidates=candidates,
        frames=frames,
        spec=SPEC,
        accelerator=accelerator,
    )
    found = fine_tune(backbone, images, spec=SPEC, capture_steps=candidates, hooks=[adaptive], accelerator=accelerator)
    return [one.step for one in found]


def _movements(every_step: Sequence[NDArray[np.float32]], steps: Sequence[int]) -> NDArray[np.float64]:
    """Return the movement between each two successive checkpoints, (len(steps) - 1,)."""
    return np.array([movement(every_step[before], every_step[after]) for before, after in pairwise(steps)])
