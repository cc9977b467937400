"""Images on the device, their normalisation, and the precision of forward passes; shared by training and embedding."""

from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from core.domain.arrays import ProbeSet
from core.domain.sources import LabelledImages
from core.learn.backbones import Backbone

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]

WHITE = 255.0
"""Largest value of a channel."""


class ImagesOnDevice:
    """Images and labels on the device of the model. Images are kept as uint8 and normalised batch by batch.

    Attributes:
        device: device of images and labels.
        images: (M, S, S, 3) uint8 RGB.
        labels: (M,) int64.
    """

    def __init__(self, data: LabelledImages | ProbeSet, backbone: Backbone, *, device: torch.device) -> None:
        self.device = device
        # torch.from_numpy shares memory and requires a writable array; stored arrays are read-only.
        self.images = torch.from_numpy(np.require(data.images, requirements="W")).to(device)
        self.labels = torch.from_numpy(np.require(data.labels, requirements="W")).to(device)
        mean = torch.tensor(backbone.mean).view(1, 3, 1, 1)
        std = torch.tensor(backbone.std).view(1, 3, 1, 1)
        self._scale = (1 / (WHITE * std)).to(device)
        self._shift = (-mean / std).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def pixel_values(self, rows: Tensor | slice) -> Tensor:
        """Load and normalise images: (pixels / 255 - mean) / std.

        Args:
            rows: (B,) int64 rows, or a slice of B rows.

        Returns:
            (B, 3, S, S) float32, the input of the model.
        """
        return self.normalised(self.pixels(rows))

    def pixels(self, rows: Tensor | slice) -> Tensor:
        """Load images without normalisation.

        Args:
            rows: (B,) int64 rows, or a slice of B rows.

        Returns:
            (B, 3, S, S) float32, RGB from 0 to WHITE.
        """
        return self.images[rows].permute(0, 3, 1, 2).float()

    def normalised(self, pixels: Tensor) -> Tensor:
        """Normalise pixels: (pixels / 255 - mean) / std.

        Args:
            pixels: (B, 3, S, S) float32, RGB from 0 to WHITE.

        Returns:
            (B, 3, S, S) float32, the input of the model.
        """
        return torch.addcmul(self._shift, pixels, self._scale)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Make the context of a forward pass with the given precision; weights stay float32.

    Args:
        device: device of the model.
        precision: "auto" means bf16 on CUDA and fp32 on other devices.
    """
    bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
