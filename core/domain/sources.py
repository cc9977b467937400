"""The interface of datasets for the learning code."""

from dataclasses import dataclass
from typing import Literal, Protocol

from core.domain.arrays import ImageArray, IntArray
from core.domain.spec import DatasetFacts

Split = Literal["train", "evaluation"]


class ImageSource(Protocol):
    """An open dataset. Labels are in memory, and images are decoded on request."""

    @property
    def facts(self) -> DatasetFacts:
        """The classes, sizes and digest of the dataset."""

    @property
    def image_size(self) -> int:
        """The longer side of a typical image, pixels. It decides the input size of a preset."""

    def labels(self, split: Split) -> IntArray:
        """Return the labels of all M rows of a split: (M,) int64, indices into the class names."""

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """Return some images of a split, scaled and centre-cropped.

        Args:
            split: the split.
            rows: (B,) int64, rows of the split.
            size: side of the result, pixels.

        Returns:
            (B, size, size, 3) uint8 RGB, in the order of `rows`.
        """


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Training images, decoded and resized once.

    Attributes:
        images: (M, S, S, 3) uint8 RGB.
        labels: (M,) int64.
    """

    images: ImageArray
    labels: IntArray
