"""How evenly the model moves from checkpoint to checkpoint, for each spacing of the checkpoints of one training."""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from core.domain.schedule import candidate_steps, capture_steps
from core.domain.spec import TrainSpec
from core.learn import backbones, datasets
from core.learn.embed import embed
from core.learn.fine_tune import fine_tune
from core.learn.pacer import Sentinels, movement
from core.learn.pixels import ImagesOnDevice

SPEC = TrainSpec(steps=300)
FRAMES = (20, 60)
PROBE, SENTINELS = 500, 64
STILL = 0.02


def main(options: argparse.Namespace) -> None:  # noqa: ARG001 - it has none
    source = datasets.open_source("digits", uploaded=None, allowed_hub=())
    backbone, probe = _begin(source, PROBE)
    images = datasets.load_training_images(source, train_size=None, size=backbone.image_size, seed=SPEC.seed)
    every_step = [
        embed(backbone, probe, step=one.step, epoch=one.epoch).embeddings
        for one in fine_tune(backbone, images, spec=SPEC, capture_steps=range(SPEC.steps + 1))
    ]
    print(f"digits, {SPEC.steps} steps; how far {PROBE} probe images move from frame to frame.\n")
    print(
        "| frames | spacing | spread of the movements, by their mean | longest, by the mean | frames of under "
        f"{STILL:.0%} |\n|---|---|---|---|---|"
    )
    for frames in FRAMES:
        chosen = {
            "even": capture_steps(SPEC.steps, frames),
            "log": capture_steps(SPEC.steps, frames, spacing="log"),
            "drift": _by_drift(source, images, frames),
        }
        for name, steps in chosen.items():
            moved = _movements(every_step, steps)
            mean = moved.mean()
            still = int((moved < STILL).sum())
            print(f"| {frames} | {name} | {moved.std() / mean:.2f} | {moved.max() / mean:.2f} | {still} |", flush=True)


def _begin(source: Any, probe_size: int) -> tuple[backbones.Backbone, ImagesOnDevice]:  # noqa: ANN401 - an image source
    backbone = backbones.create(
        "vit-tiny",
        class_names=source.facts.class_names,
        native_image_size=source.image_size,
        seed=SPEC.seed,
        allowed_models=(),
    )
    probe = datasets.load_probe_set(source, probe_size=probe_size, size=backbone.image_size, seed=SPEC.seed)
    return backbone, ImagesOnDevice(probe, backbone, device=Accelerator(mixed_precision="no").device)


def _by_drift(source: Any, images: Any, frames: int) -> list[int]:  # noqa: ANN401 - an image source, its images
    """Steps that the same training chooses."""
    backbone, watched = _begin(source, SENTINELS)
    candidates = candidate_steps(SPEC.steps, frames)
    accelerator = Accelerator(mixed_precision="no")
    sentinels = Sentinels(backbone, watched, candidates=candidates, frames=frames, spec=SPEC, accelerator=accelerator)
    found = fine_tune(
        backbone, images, spec=SPEC, capture_steps=candidates, sentinels=sentinels, accelerator=accelerator
    )
    return [one.step for one in found]


def _movements(every_step: Sequence[NDArray[np.float32]], steps: Sequence[int]) -> NDArray[np.float64]:
    return np.array([movement(every_step[before], every_step[after]) for before, after in pairwise(steps)])
