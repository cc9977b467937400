"""A preset, and images of noise as large as CIFAR-10's to train it on, where only the time of a training counts."""

import numpy as np

from core.domain.sources import LabelledImages
from core.learn.backbones import Backbone, create

SIDE, CLASSES = 32, 10


def noise(preset: str, *, n_images: int) -> tuple[Backbone, LabelledImages]:
    """The same each time."""
    names = tuple(map(str, range(CLASSES)))
    backbone = create(preset, class_names=names, native_image_size=SIDE, seed=0, allowed_models=())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, SIDE, SIDE, 3), np.uint8)
    return backbone, LabelledImages(images, rng.integers(0, CLASSES, n_images))
