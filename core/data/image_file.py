"""The interface through which the intake reads a Parquet file or one split of a ZIP."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from core.data.columns import Columns


class ImageFile(Protocol):
    """The images and labels of one Parquet file, or of one split of a ZIP, by row."""

    @property
    def path(self) -> Path:
        """The uploaded file on disk. All splits of a ZIP have the same path."""

    @property
    def name(self) -> str:
        """The user's name of the file, or the name of the split of a ZIP. Used in the report and in errors."""

    @property
    def rows(self) -> int:
        """Number of rows. Each row has one label and at most one image."""

    @property
    def columns(self) -> Columns:
        """The image column and the label column."""

    @property
    def most_bytes(self) -> int:
        """Maximum number of bytes of its encoded images. The intake limits all files together to the sum."""

    @property
    def every_class_trains(self) -> bool:
        """True if each class of the evaluation split must have training images.

        A ZIP requires them, because a class without them usually means that its folder has another name in the
        training split.
        """

    @property
    def splits_by(self) -> str:
        """The rule that assigns the file to a split, as `Splits.rule` of the report states it."""

    def labels(self) -> pa.ChunkedArray:
        """Return the labels, (rows,).

        Raises:
            InvalidDatasetError: the file is damaged.
        """

    def images(self) -> Iterator[pa.Array]:
        """Yield the encoded images in batches.

        Yields:
            Binary arrays, together (rows,). A row without a readable image is null.

        Raises:
            InvalidDatasetError: the file is damaged, or its unpacked content exceeds a limit.
        """

    @property
    def images_place(self) -> str:
        """Phrase that locates the images in an error message. Empty, or begins with a space."""

    def where(self, row: int) -> str:
        """Return the name of a row for an error message.

        Args:
            row: index from 0.
        """

    def why_missing(self, row: int) -> str:
        """Return the reason why a row has no image, for an error message.

        Args:
            row: index from 0 of a row that `images` has yielded as null.
        """


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened upload.

    Attributes:
        files: the files, or splits of a ZIP, that the dataset uses. Training files come first.
        evaluates: for each file, True if it belongs to the evaluation split and False if it belongs to the training
            split. None: all rows together are split by row.
        unused: names of the files, or of the splits of a ZIP, that the dataset does not use.
        ignored: names of the files in a ZIP that are not images of the dataset.
    """

    files: list[ImageFile]
    evaluates: list[bool] | None
    unused: list[str]
    ignored: list[str]
