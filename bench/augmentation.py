"""Cost of preparing the input as a fraction of a training step. --output FILE.png draws examples of augmentation.

The steps are training steps of the slowest and of the fastest preset, with 64 images of 32 x 32 pixels. Preparing the
input converts stored pixels to the input tensor of the model, and is measured separately. All times are processor
times, summed over all threads, so that other processes on the machine do not count.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from core.data.images import to_square
from core.domain.arrays import ImageArray
from core.domain.augment import AugmentSpec
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn.augment import shown
from core.learn.backbones import Backbone
from core.learn.fine_tune import fine_tune
from core.learn.hooks import TrainingHook
from core.learn.pixels import ImagesOnDevice
from testing.noise import noise

MOVING = {"flip": 0.5, "rotate": 15, "shear": 10, "crop": 0.6}
RECOLOURING = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
INPUTS = {
    "none": AugmentSpec(),
    "flip, rotate, shear, crop": AugmentSpec(**MOVING),
    "brightness, contrast, saturation, hue": AugmentSpec(**RECOLOURING),
    "mixup": AugmentSpec(mixup=0.2),
    "everything": AugmentSpec(**MOVING, **RECOLOURING, mixup=0.2),
}
BATCH = 64
STEPS, CALLS = 12, 30
"""Steps of each measured training, and measurements of each input."""
PRESETS = ("vit-tiny", "resnet-tiny")

DRAWN = {
    "as it is": AugmentSpec(),
    "flip 1": AugmentSpec(flip=1),
    "rotate 30": AugmentSpec(rotate=30),
    "shear 30": AugmentSpec(shear=30),
    "crop 0.3": AugmentSpec(crop=0.3),
    "brightness 0.8": AugmentSpec(brightness=0.8),
    "contrast 0.8": AugmentSpec(contrast=0.8),
    "saturation 1": AugmentSpec(saturation=1),
    "hue 0.3": AugmentSpec(hue=0.3),
    "mixup 10": AugmentSpec(mixup=10),
    "everything": AugmentSpec(**MOVING, **RECOLOURING),
}
DRAWN_SIDE = 96
DRAWN_STEP = 3
"""A step at which mixup mixes each image with another image."""


def main(options: argparse.Namespace) -> None:
    if options.output:
        draw(options.output)
    trained = [noise(preset, n_images=10 * BATCH) for preset in PRESETS]
    backbone, data = trained[0]
    images = ImagesOnDevice(data, backbone, device=Accelerator(mixed_precision="no").device)
    measured = [(input_seconds(images), [step_seconds(*one) for one in trained]) for _ in range(options.repeats)]
    inputs, steps = (np.array(one) for one in zip(*measured, strict=True))
    fractions = np.median(inputs[:, :, None] / steps[:, None, :], axis=0)
    header = ["augmentation", "input, processor ms per step", *(f"of a step of `{preset}`" for preset in PRESETS)]
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for name, taken, of_steps in zip(INPUTS, np.median(inputs, axis=0), fractions, strict=True):
        print(f"| {name} | {1000 * taken:.1f} | {' | '.join(f'{fraction:.1%}' for fraction in of_steps)} |")
    whole = (f"{preset} {1000 * taken:.0f} ms" for preset, taken in zip(PRESETS, np.median(steps, axis=0), strict=True))
    print(f"\na step: {', '.join(whole)} (target for the input: at most a tenth)")


class _Clock(TrainingHook):
    """Records the processor time of this process at the end of each step, seconds."""

    def __init__(self, ends: list[float]) -> None:
        self._ends = ends

    def on_step(self, step: int) -> None:  # noqa: ARG002 - a method of TrainingHook
        self._ends.append(time.process_time())


def step_seconds(backbone: Backbone, data: LabelledImages) -> float:
    """Return the median processor seconds of a training step without augmentation. The first step is left out."""
    ends: list[float] = []
    spec = TrainSpec(steps=STEPS, batch_size=BATCH)
    list(fine_tune(backbone, data, spec=spec, capture_steps=(0, STEPS), hooks=[_Clock(ends)]))
    return statistics.median(np.diff(ends[1:]))


def input_seconds(images: ImagesOnDevice) -> list[float]:
    """Return the median processor seconds for the input of a step, for each of INPUTS. Measurements alternate."""
    taken = [
        [_seconds(images, TrainSpec(augment=spec), step=step) for spec in INPUTS.values()] for step in range(CALLS)
    ]
    return [statistics.median(seconds) for seconds in zip(*taken, strict=True)]


def _seconds(images: ImagesOnDevice, spec: TrainSpec, *, step: int) -> float:
    rows = torch.arange(BATCH, device=images.device)
    started = time.process_time()
    shown(images, rows, spec=spec, step=step).pixel_values(rows)
    return time.process_time() - started


def draw(path: Path) -> None:
    """Draw each image (rows) with each augmentation of DRAWN (columns)."""
    backbone, _ = noise(PRESETS[0], n_images=1)
    pictures = _pictures()
    images = ImagesOnDevice(
        LabelledImages(pictures, np.zeros(len(pictures), np.int64)), backbone, device=torch.device("cpu")
    )
    figure = Figure(figsize=(len(DRAWN) * 1.04, len(pictures) * 1.04 + 0.2), layout="constrained")
    columns = figure.subplots(len(pictures), len(DRAWN)).T
    for axes, (name, spec) in zip(columns, DRAWN.items(), strict=True):
        axes[0].set_title(name, fontsize=8)
        for ax, picture in zip(axes, _changed(images, spec), strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.axis("off")
    figure.savefig(path, dpi=100)


def _changed(images: ImagesOnDevice, spec: AugmentSpec) -> ImageArray:
    rows = torch.arange(len(images))
    values = shown(images, rows, spec=TrainSpec(augment=spec), step=DRAWN_STEP).pixel_values(rows)
    pixels = (values + 1) * 127.5  # presets normalise with mean 0.5 and standard deviation 0.5
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _pictures() -> ImageArray:
    """Return two photographs and a digit of scikit-learn, (3, S, S, 3) uint8 with S = DRAWN_SIDE."""
    digit = np.repeat(load_digits().images[5][:, :, None] * (255 / 16), 3, axis=2)
    given = [load_sample_image("flower.jpg"), load_sample_image("china.jpg"), digit]
    return np.stack([to_square(Image.fromarray(one.astype(np.uint8)), DRAWN_SIDE) for one in given])
