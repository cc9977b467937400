"""A dataset, opened: labels in memory, images where they are asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from core.domain.arrays import ImageArray, IntArray
from core.domain.sources import Split
from core.domain.spec import DatasetFacts


@dataclass(frozen=True)
class OpenedDataset:
    """An `ImageSource` of these parts.

    Attributes:
        facts: classes, sizes and digest.
        labels_of: (M,) int64 each, index into the class names.
        squares: of a split the rows asked for, in that order: (len(rows), size, size, 3) uint8 RGB.
        measure: the longer side of a typical image, pixels; called once.
    """

    facts: DatasetFacts
    labels_of: Mapping[Split, IntArray]
    squares: Callable[[Split, IntArray, int], ImageArray]
    measure: Callable[[], int]

    @cached_property
    def image_size(self) -> int:
        """The longer side of a typical image, pixels."""
        return self.measure()

    def labels(self, split: Split) -> IntArray:
        """(M,) int64, index into the class names, for every row of the split."""
        return self.labels_of[split]

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """(len(rows), size, size, 3) uint8 RGB: the rows asked for, in that order, scaled and cropped."""
        return self.squares(split, rows, size)
