"""Read a stored dataset: the folder that the intake has written.

The Arrow files are memory-mapped: only the requested images are read from disk.
"""

import json
import sys
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.data.images import squares
from core.data.stored import REPORT_FILE, DatasetReport, facts_of
from core.domain.arrays import ImageArray, IntArray
from core.domain.sources import Split
from core.domain.spec import DatasetFacts
from core.errors import SourceUnavailableError


class UploadedSource:
    """An `ImageSource` that reads a stored dataset. The intake has checked the images.

    Args:
        folder: the folder of the stored dataset.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = cache(self._open)

    @cached_property
    def report(self) -> DatasetReport:
        """The report of the intake.

        Raises:
            SourceUnavailableError: the folder holds no stored dataset.
        """
        try:
            report: DatasetReport = json.loads((self._folder / REPORT_FILE).read_text())
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        return report

    @property
    def facts(self) -> DatasetFacts:
        """The classes, the sizes of the splits and the digest."""
        return facts_of(self.report)

    @property
    def image_size(self) -> int:
        """Median of the longer sides of all images, in pixels."""
        return int(self.report["image_size"])

    def labels(self, split: Split) -> IntArray:
        """Return the label of each row of a split.

        Args:
            split: `train` or `evaluation`.

        Returns:
            (M,) int64, indices into the class names.

        Raises:
            SourceUnavailableError: the split cannot be read.
        """
        return np.asarray(self._table(split).column("label").to_numpy(), np.int64)

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """Decode images, scale their shorter side to `size` and keep the centre.

        Args:
            split: `train` or `evaluation`.
            rows: (n,) int64, rows of the split, in any order.
            size: side of the returned images in pixels.

        Returns:
            (n, size, size, 3) uint8 RGB, in the order of `rows`.

        Raises:
            SourceUnavailableError: the split cannot be read.
            InvalidDatasetError: an image cannot be decoded.
        """
        encoded = _Bytes(self._table(split).column("image"))
        return squares(encoded, [int(row) for row in rows], size=size, max_pixels=sys.maxsize)

    def _open(self, split: Split) -> pa.Table:
        try:
            return pa.ipc.open_file(pa.memory_map(str(self._folder / f"{split}.arrow"))).read_all()
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"The stored dataset {self._folder.name} cannot be read ({error}): upload it again and start a new run."
        )


class _Bytes:
    def __init__(self, images: pa.ChunkedArray) -> None:
        self._images = images

    def __getitem__(self, row: int) -> bytes:
        encoded: bytes = self._images[row].as_py()
        return encoded
