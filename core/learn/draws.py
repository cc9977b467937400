"""The random parameters of augmentation for the images of a step, and the affine and colour maps made from them.

This module changes no pixels. The parameters of all images of a step are drawn together, from the run's seed and the
step. So they do not depend on forward passes, on the number of processes or on resumption. Each augmentation has random
numbers of its own, so switching an augmentation on or off does not change the parameters of the others.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.domain.augment import AugmentSpec
from core.learn.randomness import derived_seed

Numbers: TypeAlias = NDArray[np.float64]

_WIDEST = math.log(4 / 3)
"""Logarithm of the largest aspect ratio (width / height) of a crop; the smallest aspect ratio is 3 / 4. This is the
usual range of random resized crops, such as torchvision's RandomResizedCrop."""

# RGB to YIQ (NTSC, 1953): luma Y and chrominance I and Q. I and Q of grey are exactly 0.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@dataclass(frozen=True, slots=True)
class Draws:
    """The random parameters of the R images of a step; all float64 unless noted.

    Attributes:
        flipped: (R,) bool, True if left and right are exchanged.
        turned: (R,) rotation, radians, counterclockwise.
        leaning: (R,) shear: tangent of the angle by which vertical lines lean to the right.
        size: (R, 2) width and height of the crop, as fractions of the image's width and height.
        centre: (R, 2) x and y of the crop's centre, from -1 (left, top) to 1.
        brightness: (R,) factor, at least 0.
        contrast: (R,) factor, at least 0.
        saturation: (R,) factor, at least 0.
        hue: (R,) rotation of the hue, in full turns, from red towards yellow.
        partner: (R,) int64, position in this step of the image that mixup mixes in; a permutation of 0 to R - 1.
        share: (R,) weight of the image itself in the mixture, 0 to 1.
    """

    flipped: NDArray[np.bool_]
    turned: Numbers
    leaning: Numbers
    size: Numbers
    centre: Numbers
    brightness: Numbers
    contrast: Numbers
    saturation: Numbers
    hue: Numbers
    partner: NDArray[np.int64]
    share: Numbers


def draw(spec: AugmentSpec, n_images: int, *, seed: int, step: int) -> Draws:
    """Draw the random parameters of the images of one step.

    The weights of mixup follow Beta(spec.mixup, spec.mixup), and the partners are a random permutation. Crop areas,
    angles, factors and hue rotations follow uniform distributions.

    Args:
        spec: ranges of the parameters.
        n_images: R, images of the step.
        seed: the run's seed.
        step: number of the step, 1 or later.

    Returns:
        The parameters of R images.

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, arXiv:1710.09412.
    """
    rng = np.random.default_rng(derived_seed("augment", seed, step))
    flip, area = rng.random((2, n_images))
    turn, lean, ratio, across, down, brightness, contrast, saturation, hue = rng.uniform(-1, 1, (9, n_images))
    size = _crop_sizes(1 - (1 - spec.crop) * area, ratio)
    return Draws(
        flipped=flip < spec.flip,
        turned=np.radians(spec.rotate * turn),
        leaning=np.tan(np.radians(spec.shear * lean)),
        size=size,
        centre=(1 - size) * np.stack([across, down], axis=1),
        brightness=1 + spec.brightness * brightness,
        contrast=1 + spec.contrast * contrast,
        saturation=1 + spec.saturation * saturation,
        hue=spec.hue * hue,
        partner=rng.permutation(n_images),
        share=rng.beta(spec.mixup, spec.mixup, n_images) if spec.mixup else np.ones(n_images),
    )


def placements(draws: Draws) -> Numbers:
    """Compute the affine map from each augmented image to its stored image.

    An image is cropped, flipped, rotated and sheared, in this order. Flip, rotation and shear are about the centre. The
    map is the inverse: crop @ flip @ rotation^-1 @ shear^-1.

    Args:
        draws: parameters of R images.

    Returns:
        (R, 2, 3) float64: maps (x, y, 1) in the augmented image to (x, y) in the stored image; coordinates from -1
        (left, top) to 1.
    """
    cosine, sine = np.cos(draws.turned), np.sin(draws.turned)
    # y points down. So a counterclockwise rotation on the screen turns the y axis towards the x axis.
    unturn = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    unshear = np.tile(np.eye(2), (len(unturn), 1, 1))
    unshear[:, 0, 1] = draws.leaning
    uncrop = draws.size * np.stack([np.where(draws.flipped, -1, 1), np.ones(len(unturn))], axis=1)
    return np.concatenate([uncrop[:, :, None] * (unturn @ unshear), draws.centre[:, :, None]], axis=2)


def colour_maps(draws: Draws) -> Numbers:
    """Compute brightness, contrast, saturation and hue, applied in this order, as one linear map of colours.

    Contrast scales the difference from the image's mean luma. Saturation scales the difference from the pixel's luma.
    Hue rotates the (I, Q) plane of YIQ.

    Args:
        draws: parameters of R images.

    Returns:
        (R, 3, 6) float64: maps the RGB of a pixel, followed by the mean RGB of its image, to RGB.
    """
    angle = -2 * math.pi * draws.hue
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    in_yiq = np.zeros((len(turn), 3, 3))
    in_yiq[:, 0, 0] = 1
    in_yiq[:, 1:, 1:] = draws.saturation[:, None, None] * turn
    own = (draws.brightness * draws.contrast)[:, None, None] * (np.linalg.inv(_YIQ) @ in_yiq @ _YIQ)
    mean = (draws.brightness * (1 - draws.contrast))[:, None, None] * np.tile(_YIQ[0], (3, 1))
    return np.concatenate([own, mean], axis=2)


def _crop_sizes(area: Numbers, ratio: Numbers) -> Numbers:
    """Compute width and height of crops from their areas.

    The aspect ratio is drawn among the ratios that fit into the image. So no draw is rejected, and the areas stay
    uniformly distributed. Rejection would make large areas rarer.

    Args:
        area: (R,) fraction of the image's area, in (0, 1].
        ratio: (R,) logarithm of width / height, relative to the largest logarithm that fits, -1 to 1.

    Returns:
        (R, 2) width and height as fractions of the image's sides.
    """
    logarithm = ratio * np.minimum(_WIDEST, -np.log(area))
    return np.sqrt(area)[:, None] * np.exp(np.stack([logarithm, -logarithm], axis=1) / 2)
