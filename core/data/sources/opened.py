"""An `ImageSource` with labels in memory and images that are decoded on demand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from core.domain.arrays import ImageArray, IntArray
from core.domain.sources import Split
from core.domain.spec import DatasetFacts


@dataclass(frozen=True)
class OpenedDataset:
    """An `ImageSource` that a dataset source assembles from its labels and its decoder.

    Attributes:
        facts: classes, sizes and digest.
        labels_of: for each split, (M,) int64 indices into the class names.
        squares: function that decodes images. Its arguments are the split, the rows (n,) int64 and the size in pixels;
            its result is (n, size, size, 3) uint8 RGB, in the order of the rows.
        measure: function that returns the longer side of a typical image in pixels. It is called at most once.
    """

    facts: DatasetFacts
    labels_of: Mapping[Split, IntArray]
    squares: Callable[[Split, IntArray, int], ImageArray]
    measure: Callable[[], int]

    @cached_property
    def image_size(self) -> int:
        """The longer side of a typical image in pixels."""
        return self.measure()

    def labels(self, split: Split) -> IntArray:
        """Return the label of each row of a split.

        Args:
            split: `train` or `evaluation`.

        Returns:
            (M,) int64, indices into the class names.
        """
        return self.labels_of[split]

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """Decode images, scale their shorter side to `size` and keep the centre.

        Args:
            split: `train` or `evaluation`.
            rows: (n,) int64, rows of the split, in any order.
            size: side of the returned images in pixels.

        Returns:
            (n, size, size, 3) uint8 RGB, in the order of `rows`.

        Raises:
            InvalidDatasetError: an image cannot be decoded.
        """
        return self.squares(split, rows, size)
