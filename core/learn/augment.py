"""Augmentation, mixup and label smoothing on the device, in operations on whole batches.

Crop, flip, rotation and shear are combined in one affine map per image, so pixels are interpolated, and blurred, once.
Brightness, contrast, saturation and hue are combined in one linear map of colours, and only the result is clipped. Both
maps apply before normalisation, because contrast and saturation require the positions of black and grey.

An augmentation that is off has no cost. With all augmentations off, images and losses are bit by bit the same as
in a training without augmentation.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from core.domain.spec import TrainSpec
from core.learn.draws import Numbers, colour_maps, draw, placements
from core.learn.pixels import WHITE, ImagesOnDevice


@dataclass(frozen=True, slots=True)
class Mixing:
    """Parameters of mixup for the R images of a step.

    Attributes:
        partners: (R,) int64, position of the image that is mixed in.
        weights: (R,) float32, weight of the image itself in the mixture, 0 to 1.
    """

    partners: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True)
class Changes:
    """Parameters of the augmentation of the R images of a step, on the device.

    Attributes:
        placements: (R, 2, 3) float32, affine maps for `move`; None if crop, flip, rotation and shear are off.
        colours: (R, 3, 6) float32, colour maps for `recolour`; None if all changes of colours are off.
        mixing: parameters of mixup; None if mixup is off.
    """

    placements: Tensor | None = None
    colours: Tensor | None = None
    mixing: Mixing | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The R images of a step, augmented, and their loss. The images have the positions 0 to R - 1.

    Attributes:
        images: all training images.
        rows: (R,) int64, rows of the step's images in `images`.
        changes: parameters of the augmentation.
        label_smoothing: fraction of each label that is spread evenly over all classes, 0 to 1 (Szegedy et al.,
            arXiv:1512.00567).
    """

    images: ImagesOnDevice
    rows: Tensor
    changes: Changes = Changes()
    label_smoothing: float = 0.0

    def pixel_values(self, places: Tensor) -> Tensor:
        """Augment and normalise images of the step.

        Args:
            places: (B,) int64, positions of the images.

        Returns:
            (B, 3, S, S) float32, the input of the model.
        """
        own = self._changed(places)
        mixing = self.changes.mixing
        if mixing is None:
            return own
        return torch.lerp(self._changed(mixing.partners[places]), own, mixing.weights[places].view(-1, 1, 1, 1))

    def losses(self, logits: Tensor, places: Tensor) -> Tensor:
        """Compute the cross-entropy of each image.

        With mixup and weight w: w * cross-entropy(own label) + (1 - w) * cross-entropy(label of the partner).

        Args:
            logits: (B, C) float32.
            places: (B,) int64, positions of the images.

        Returns:
            (B,) float32.
        """
        own = self._cross_entropy(logits, places)
        mixing = self.changes.mixing
        if mixing is None:
            return own
        return torch.lerp(self._cross_entropy(logits, mixing.partners[places]), own, mixing.weights[places])

    def _changed(self, places: Tensor) -> Tensor:
        pixels = self.images.pixels(self.rows[places])
        if self.changes.placements is not None:
            pixels = move(pixels, self.changes.placements[places])
        if self.changes.colours is not None:
            pixels = recolour(pixels, self.changes.colours[places])
        return self.images.normalised(pixels)

    def _cross_entropy(self, logits: Tensor, places: Tensor) -> Tensor:
        labels = self.images.labels[self.rows[places]]
        return cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)


def shown(images: ImagesOnDevice, rows: Tensor, *, spec: TrainSpec, step: int) -> Shown:
    """Select the images of a step and draw the parameters of their augmentation.

    Args:
        images: all training images.
        rows: (R,) int64, rows of the step's images.
        spec: augmentation, label smoothing and seed of the training.
        step: number of the step, 1 or later.

    Returns:
        The R images of the step.
    """
    return Shown(images, rows, _changes(spec, len(rows), step=step, device=images.device), spec.label_smoothing)


def move(pixels: Tensor, placements: Tensor) -> Tensor:
    """Apply an affine map to each image, with bilinear interpolation and reflection at the borders.

    There is no low-pass filter: a crop enlarges and a rotation keeps sizes. Only shear shrinks the image: at 45 degrees
    by a factor of 1.6 along one direction.

    Args:
        pixels: (B, 3, S, S) float32.
        placements: (B, 2, 3) float32, see `core.learn.draws.placements`.

    Returns:
        (B, 3, S, S) float32.
    """
    # align_corners=False: -1 and 1 are the borders of the image, not the centres of the outermost pixels. So a flip is
    # exact, and a crop is the same at any image size.
    grid = affine_grid(placements, list(pixels.shape), align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(pixels: Tensor, colours: Tensor) -> Tensor:
    """Apply a linear colour map to each image.

    Args:
        pixels: (B, 3, S, S) float32, RGB from 0 to WHITE.
        colours: (B, 3, 6) float32, see `core.learn.draws.colour_maps`.

    Returns:
        (B, 3, S, S) float32, clipped to the range 0 to WHITE.
    """
    flat = pixels.flatten(2)
    added = colours[:, :, 3:] @ flat.mean(dim=2, keepdim=True)
    return torch.baddbmm(added, colours[:, :, :3], flat).clamp_(0, WHITE).view_as(pixels)


def _changes(spec: TrainSpec, n_images: int, *, step: int, device: torch.device) -> Changes:
    def on_device(numbers: Numbers) -> Tensor:
        return torch.from_numpy(numbers.astype(np.float32)).to(device)

    augment = spec.augment
    if not augment.active:
        return Changes()
    draws = draw(augment, n_images, seed=spec.seed, step=step)
    partners = torch.from_numpy(draws.partner).to(device)
    return Changes(
        placements=on_device(placements(draws)) if augment.moves else None,
        colours=on_device(colour_maps(draws)) if augment.recolours else None,
        mixing=Mixing(partners, on_device(draws.share)) if augment.mixup else None,
    )
