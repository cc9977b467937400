"""A preset and random images of the size of CIFAR-10's, for measurements of training time."""

import numpy as np

from core.domain.sources import LabelledImages
from core.learn.backbones import Backbone, create

SIDE, CLASSES = 32, 10


def noise(preset: str, *, n_images: int) -> tuple[Backbone, LabelledImages]:
    """Return a preset and images with random pixels and labels. Equal arguments give equal results.

    Args:
        preset: name of the preset.
        n_images: number of images.

    Returns:
        The preset with CLASSES classes, and n_images images of SIDE x SIDE pixels.
    """
    names = tuple(map(str, range(CLASSES)))
    backbone = create(preset, class_names=names, native_image_size=SIDE, seed=0, allowed_models=())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, SIDE, SIDE, 3), np.uint8)
    return backbone, LabelledImages(images, rng.integers(0, CLASSES, n_images))
