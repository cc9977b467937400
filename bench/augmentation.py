"""What augmentation takes of a training step, and what it does (--output FILE.png draws it).

The step is one of `vit-tiny` with 64 images of 32 x 32 pixels; what augmentation adds to it is measured by itself. Both
are times of the processor, of all threads, so that other work on the machine counts for neither.
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
from core.learn.backbones import Backbone, create
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice

MOVING = {"flip": 0.5, "rotate": 15, "shear": 10, "crop": 0.6}
RECOLOURING = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
PARTS = {
    "flip, rotate, shear, crop": AugmentSpec(**MOVING),
    "brightness, contrast, saturation, hue": AugmentSpec(**RECOLOURING),
    "mixup": AugmentSpec(mixup=0.2),
    "everything": AugmentSpec(**MOVING, **RECOLOURING, mixup=0.2),
}
BATCH, SIDE = 64, 32
STEPS, CALLS = 12, 30

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
"""One at which each image is mixed with another."""


def main(options: argparse.Namespace) -> None:
    if options.output:
        draw(options.output)
    backbone, data = _noise()
    images = ImagesOnDevice(data, backbone, device=Accelerator(mixed_precision="no").device)
    rounds = [(step_seconds(backbone, data), _parts(images)) for _ in range(options.repeats)]
    step = statistics.median(seconds for seconds, _ in rounds)
    print("| augmentation | processor ms a step | of a step without |\n|---|---|---|")
    for name in PARTS:
        added = statistics.median(parts[name] for _, parts in rounds)
        share = statistics.median(parts[name] / seconds for seconds, parts in rounds)
        print(f"| {name} | {1000 * added:.1f} | {share:.1%} |")
    print(f"\na step without: {1000 * step:.0f} ms (asked of everything: under a tenth)")


def step_seconds(backbone: Backbone, data: LabelledImages) -> float:
    """Median processor seconds of a training's steps on images as they are; the first one warms up."""
    ends: list[float] = []
    spec = TrainSpec(steps=STEPS, batch_size=BATCH)
    list(
        fine_tune(
            backbone, data, spec=spec, capture_steps=(0, STEPS), on_step=lambda _: ends.append(time.process_time())
        )
    )
    return statistics.median(np.diff(ends[1:]))


def _parts(images: ImagesOnDevice) -> dict[str, float]:
    """Median processor seconds that each part of augmentation adds to a step; taken in turns."""
    specs = {"": AugmentSpec(), **PARTS}
    taken: dict[str, list[float]] = {name: [] for name in specs}
    for step in range(CALLS):
        for name, spec in specs.items():
            taken[name].append(_seconds(images, TrainSpec(augment=spec), step=step))
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return {name: medians[name] - medians[""] for name in PARTS}


def _seconds(images: ImagesOnDevice, spec: TrainSpec, *, step: int) -> float:
    rows = torch.arange(BATCH, device=images.device)
    started = time.process_time()
    shown(images, rows, spec=spec, step=step).pixel_values(rows).sum().item()
    return time.process_time() - started


def _noise() -> tuple[Backbone, LabelledImages]:
    rng = np.random.default_rng(0)
    names = tuple("0123456789")
    backbone = create("vit-tiny", class_names=names, native_image_size=SIDE, seed=0, allowed_models=())
    pixels = rng.integers(0, 256, (10 * BATCH, SIDE, SIDE, 3), np.uint8)
    return backbone, LabelledImages(pixels, rng.integers(0, 10, len(pixels)))


def draw(path: Path) -> None:
    """A row an image, a column a kind of change."""
    backbone, _ = _noise()
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
    pixels = (values + 1) * 127.5  # presets normalise by 0.5 and 0.5
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _pictures() -> ImageArray:
    """(3, S, S, 3): the two photographs and a digit of scikit-learn."""
    digit = np.repeat(load_digits().images[5][:, :, None] * (255 / 16), 3, axis=2)
    given = [load_sample_image("flower.jpg"), load_sample_image("china.jpg"), digit]
    return np.stack([to_square(Image.fromarray(one.astype(np.uint8)), DRAWN_SIDE) for one in given])
