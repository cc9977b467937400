"""Where images come from, as the learning code sees it."""

from dataclasses import dataclass
from typing import Literal, Protocol

from core.domain.arrays import ImageArray, IntArray
from core.domain.spec import DatasetFacts

Split = Literal["train", "evaluation"]


class ImageSource(Protocol):
    """A dataset, opened: labels at once, images only where they are asked for."""

    @property
    def facts(self) -> DatasetFacts:
        """Classes, sizes and digest."""

    @property
    def image_size(self) -> int:
        """The longer side of a typical image, pixels; presets choose their input size by it."""

    def labels(self, split: Split) -> IntArray:
        """(M,) int64, index into the class names, for every row of the split."""

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """(len(rows), size, size, 3) uint8 RGB: the rows asked for, in that order, scaled and centre-cropped."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images to train on, decoded and resized once.

    Attributes:
        images: (M, S, S, 3) uint8 RGB.
        labels: (M,) int64.
    """

    images: ImageArray
    labels: IntArray
