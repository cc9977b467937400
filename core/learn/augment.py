"""Augmentation on the device: a few operations on a whole batch, none on a single image.

Crop, flip, rotation and shear are one affine map an image, so pixels are looked up, and blurred by it, once.
Brightness, contrast, saturation and hue are one linear map of colours, and only its result is clipped. Both change
pixels as they are stored, before they are normalised: black, grey and white mean something there.

What is off costs nothing: with everything off, images and losses are bit by bit those of a training without it.
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
    """What is mixed into each of the R images of a step.

    Attributes:
        partners: (R,) int64, the other image's place.
        shares: (R,) float32, of the image itself, 0 to 1.
    """

    partners: Tensor
    shares: Tensor


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of the R images of a step, on the device; None is what is off.

    Attributes:
        placements: (R, 2, 3) float32, for `move`.
        colours: (R, 3, 6) float32, for `recolour`.
        mixing: mixup.
    """

    placements: Tensor | None = None
    colours: Tensor | None = None
    mixing: Mixing | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The R images of a step as the model is shown them, and how it is judged. Their places are 0 to R - 1.

    Attributes:
        images: all that there are.
        rows: (R,) int64, which of them.
        changes: what becomes of them.
        label_smoothing: share of each label that is spread evenly over all classes.
    """

    images: ImagesOnDevice
    rows: Tensor
    changes: Changes = Changes()
    label_smoothing: float = 0.0

    def pixel_values(self, places: Tensor) -> Tensor:
        """(B, 3, S, S) float32, normalised: the images at these places, (B,) int64."""
        own = self._changed(places)
        mixing = self.changes.mixing
        if mixing is None:
            return own
        return torch.lerp(self._changed(mixing.partners[places]), own, mixing.shares[places].view(-1, 1, 1, 1))

    def losses(self, logits: Tensor, places: Tensor) -> Tensor:
        """Cross-entropy of each image, (B,); of a mixture, the mixture of both labels' cross-entropies.

        Args:
            logits: (B, C) float32.
            places: (B,) int64, of the images that they are for.
        """
        own = self._cross_entropy(logits, places)
        mixing = self.changes.mixing
        if mixing is None:
            return own
        return torch.lerp(self._cross_entropy(logits, mixing.partners[places]), own, mixing.shares[places])

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
    """The images of these rows, (R,) int64, as a training is shown them at this step."""
    return Shown(images, rows, _changes(spec, len(rows), step=step, device=images.device), spec.label_smoothing)


def move(pixels: Tensor, placements: Tensor) -> Tensor:
    """Look up each pixel where it comes from, between four pixels if need be.

    Beyond its border an image is its own reflection. A crop is enlarged and a rotation keeps sizes, so there is
    nothing to average; only shear makes anything smaller, by 1.6 along one direction at 45 degrees.

    Args:
        pixels: (B, 3, S, S) float32.
        placements: (B, 2, 3), see `core.learn.draws.placements`.

    Returns:
        (B, 3, S, S).
    """
    # align_corners=False: -1 and 1 are the borders of the image and not the middles of its outermost pixels, so that
    # a flip is exact and a crop means the same at any size.
    grid = affine_grid(placements, list(pixels.shape), align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolour(pixels: Tensor, colours: Tensor) -> Tensor:
    """Map the colours of each image.

    Args:
        pixels: (B, 3, S, S) float32, RGB from 0 to WHITE.
        colours: (B, 3, 6), see `core.learn.draws.colour_maps`.

    Returns:
        (B, 3, S, S), clipped to 0 and WHITE.
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
