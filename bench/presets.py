"""Each preset on digits, trained with the default settings of a run: accuracy, and processor time."""

import argparse
import time
from itertools import pairwise

from accelerate import Accelerator

from bench.training import prepare
from core.domain.models import known_models
from core.domain.spec import TrainSpec
from core.learn import datasets
from core.learn.embed import embed
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice

SPEC = TrainSpec()
STEPS = (0, 50, 100, SPEC.steps)


def main(options: argparse.Namespace) -> None:  # noqa: ARG001
    steps = ", ".join(map(str, STEPS[1:]))
    print(f"| preset | input | MFLOPs per image | accuracy after {steps} steps | processor s |")
    print("|---|---|---|---|---|")
    for card in known_models(()):
        side, accuracies, seconds = _trained(card.id)
        [flops] = [size.flops for size in card.inputs if size.image_size == side]
        shown = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies[1:])
        print(f"| `{card.id}` | {side} | {flops / 1e6:.1f} | {shown} | {seconds:.1f} |", flush=True)


def _trained(name: str) -> tuple[int, list[float], float]:
    """Train a preset.

    Returns:
        Side of the input, pixels; accuracy at each of STEPS, 0 to 1; processor seconds of the training alone.
    """
    source = datasets.open_source("digits", uploaded=None, allowed_hub=())
    backbone, images, probe = prepare(source, model=name, spec=SPEC, probe_size=1000)
    seen = ImagesOnDevice(probe, backbone, device=Accelerator(mixed_precision="no").device)
    accuracies, times = [], [time.process_time()]
    for checkpoint in fine_tune(backbone, images, spec=SPEC, capture_steps=STEPS):
        times.append(time.process_time())
        embedded = embed(checkpoint.backbone, seen, step=checkpoint.step, epoch=checkpoint.epoch)
        accuracies.append(embedded.accuracy)
        times.append(time.process_time())
    return backbone.image_size, accuracies, sum(end - start for start, end in list(pairwise(times))[::2])
