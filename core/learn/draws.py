"""What augmentation draws at random for the images of a step, and the maps that follow; no pixel is touched here.

All that is drawn follows from the run's seed and the number of the step, for all images of the step at once: how they
are split into forward passes or among processes, or where a training was resumed, changes nothing. And every kind of
change has numbers of its own, so that switching one on leaves the others as they were.
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
"""Of a crop, width over height; the narrowest is 3 / 4."""

# RGB to the luma Y and the two axes of colour I and Q (NTSC, 1953). I and Q of a grey are exactly 0.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@dataclass(frozen=True, slots=True)
class Draws:
    """What becomes of each of R images.

    Attributes:
        flipped: (R,) bool, left and right exchanged.
        turned: (R,) radians, counterclockwise.
        leaning: (R,) tangents of the angle by which upright lines lean to the right.
        size: (R, 2) width and height of the crop, of 1.
        centre: (R, 2) of the crop, from -1 (left, top) to 1.
        brightness: (R,) factors.
        contrast: (R,) factors.
        saturation: (R,) factors.
        hue: (R,) turns, from red towards yellow.
        partner: (R,) the place, in this step, of the image that is mixed in; each place once.
        share: (R,) of the image itself in the mixture, 0 to 1.
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
    """The draws of one step; all uniform but the shares, which are Beta(spec.mixup, spec.mixup)."""
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
    """Where each pixel of a changed image comes from.

    The image is cropped, then flipped, then turned, then sheared, each about the middle. A map leads back through them:
    crop @ flip @ turn^-1 @ shear^-1.

    Returns:
        (R, 2, 3): from (x, y, 1) in the changed image to (x, y) in the stored one; both from -1 (left, top) to 1.
    """
    cosine, sine = np.cos(draws.turned), np.sin(draws.turned)
    # y points down, so that counterclockwise is from y to x.
    unturn = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    unshear = np.tile(np.eye(2), (len(unturn), 1, 1))
    unshear[:, 0, 1] = draws.leaning
    uncrop = draws.size * np.stack([np.where(draws.flipped, -1, 1), np.ones(len(unturn))], axis=1)
    return np.concatenate([uncrop[:, :, None] * (unturn @ unshear), draws.centre[:, :, None]], axis=2)


def colour_maps(draws: Draws) -> Numbers:
    """Brightness, contrast, saturation and hue, in this order, as one linear map of colours.

    Contrast is about the mean luma of an image, saturation about each pixel's own; hue turns the plane of I and Q.

    Returns:
        (R, 3, 6): to RGB from the RGB of a pixel, followed by the mean RGB of its image.
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
    """(R, 2) width and height of crops of these areas.

    The ratio of the sides is drawn from those that fit into the image, so that no draw has to be thrown away; which
    also keeps areas uniform, where rejection has fewer of the large ones.

    Args:
        area: (R,) of 1.
        ratio: (R,) -1 to 1: the logarithm of width over height, within what fits.
    """
    logarithm = ratio * np.minimum(_WIDEST, -np.log(area))
    return np.sqrt(area)[:, None] * np.exp(np.stack([logarithm, -logarithm], axis=1) / 2)
