"""The way of the pixels into the model, one and the same for training and embedding."""

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


class ImagesOnDevice:
    """Images and labels beside the weights, moved once: kept as uint8, normalised a batch at a time.

    Attributes:
        device: where they are.
        images: (M, S, S, 3) uint8.
        labels: (M,) int64.
    """

    def __init__(self, data: LabelledImages | ProbeSet, backbone: Backbone, *, device: torch.device) -> None:
        self.device = device
        # torch shares an array's memory, so it insists on one that may be written to; stored arrays may not.
        self.images = torch.from_numpy(np.require(data.images, requirements="W")).to(device)
        self.labels = torch.from_numpy(np.require(data.labels, requirements="W")).to(device)
        mean = torch.tensor(backbone.mean).view(1, 3, 1, 1)
        std = torch.tensor(backbone.std).view(1, 3, 1, 1)
        self._scale = (1 / (WHITE * std)).to(device)
        self._shift = (-mean / std).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def pixel_values(self, rows: Tensor | slice) -> Tensor:
        """(B, 3, S, S) float32: (pixels / 255 - mean) / std of the rows asked for."""
        return self.normalised(self.pixels(rows))

    def pixels(self, rows: Tensor | slice) -> Tensor:
        """(B, 3, S, S) float32, RGB from 0 to WHITE: the rows asked for as they are stored."""
        return self.images[rows].permute(0, 3, 1, 2).float()

    def normalised(self, pixels: Tensor) -> Tensor:
        """What the model is given for (B, 3, S, S) pixels from 0 to WHITE."""
        return torch.addcmul(self._shift, pixels, self._scale)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The precision of a forward pass; "auto" is bf16 on CUDA and fp32 elsewhere. Weights stay float32."""
    bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
