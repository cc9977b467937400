"""Read Parquet files in Hugging Face image format in batches.

The memory for images does not depend on the size of the file. The labels of a file are read at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.data.columns import Columns, find_columns, path_only
from core.errors import InvalidDatasetError

BATCH_BYTES = 8 << 20
BATCH_ROWS = 256
READ_BYTES = 1 << 20
"""Batches have about BATCH_BYTES and at most BATCH_ROWS rows; files are read through a buffer of READ_BYTES.

Chosen by hand; `bench intake` measures the memory of the whole intake.
"""

MAX_EXPANSION = 10
"""Maximum ratio of the size of all encoded images to the size of the file.

JPEG, PNG and WebP are already compressed. A higher ratio means that the file repeats or pads images to fill the disk.
Chosen by hand; not measured.
"""

_MAGIC = b"PAR1"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ParquetImages:
    """An `ImageFile` of one Parquet file.

    Attributes:
        path: the file on disk.
        name: the user's name of the file.
        rows: number of rows that the footer states.
        columns: the image column and the label column.
        batch_rows: maximum number of rows of a batch that is read from the file.
        leaf: Parquet's path of the column that contains the encoded images.
        every_class_trains: False: a class of the evaluation split needs no training images.
        splits_by: the rule that assigns the file to a split.
    """

    path: Path
    name: str
    rows: int
    columns: Columns
    batch_rows: int
    leaf: str
    every_class_trains: ClassVar[bool] = False
    splits_by: ClassVar[str] = "file names"

    @property
    def most_bytes(self) -> int:
        """Maximum number of bytes of its encoded images."""
        return MAX_EXPANSION * self.path.stat().st_size

    @property
    def images_place(self) -> str:
        """Phrase that locates the images in an error message. Begins with a space."""
        return f" in column {self.columns.image!r} (rows count from 0)"

    def where(self, row: int) -> str:
        """Return the name of a row for an error message.

        Args:
            row: index from 0.
        """
        return f"row {row}"

    def why_missing(self, _row: int) -> str:
        """Return the reason why a row has no image. A Parquet file states no further reason."""
        return "no image"

    def labels(self) -> pa.ChunkedArray:
        """Return the label column, (rows,).

        Raises:
            InvalidDatasetError: the file is damaged.
        """
        with pq.ParquetFile(self.path, buffer_size=READ_BYTES) as file:
            table = self._guarded(lambda: file.read(columns=[self.columns.label], use_threads=False))
            self._guarded(lambda: table.validate(full=True))
        self._require_rows(table.num_rows)
        return table.column(self.columns.label)

    def images(self) -> Iterator[pa.Array]:
        """Yield the image column in batches.

        A dictionary-encoded file can store one image for many rows. Such an image is copied for one batch at a time, so
        that the caller can stop a small file that expands to many bytes.

        Yields:
            Binary arrays of at most `batch_rows` rows, together (rows,). A row without an image is null.

        Raises:
            InvalidDatasetError: the file is damaged, or contains paths instead of images.
        """
        seen = 0
        with pq.ParquetFile(self.path, buffer_size=READ_BYTES, read_dictionary=[self.leaf]) as file:
            for batch in self._each(self._batches(file)):
                seen += batch.num_rows
                if seen > self.rows:
                    break
                yield from self._each(_repeated(self._bytes(batch.column(self.columns.image))))
        self._require_rows(seen)

    def _batches(self, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        for group in range(file.num_row_groups):  # each row group has its own dictionary
            columns = [self.columns.image]
            yield from file.iter_batches(self.batch_rows, row_groups=[group], columns=columns, use_threads=False)

    def _each(self, values: Iterator[Value]) -> Iterator[Value]:
        """Yield the values. An error of Arrow becomes an error that names the damaged file."""
        while (value := self._guarded(lambda: next(values, None))) is not None:
            yield value

    def _require_rows(self, seen: int) -> None:
        if seen != self.rows:
            raise InvalidDatasetError(f"{self.name} is damaged (it must have {self.rows:,} rows): upload it again.")

    def _bytes(self, images: pa.Array) -> pa.Array:
        if not pa.types.is_struct(images.type):
            return images
        encoded = pc.struct_field(images, "bytes")
        if any(part.name == "path" for part in images.type):
            paths = pc.struct_field(images, "path")
            if pc.any(pc.and_(pc.is_null(encoded), pc.is_valid(paths))).as_py():
                raise InvalidDatasetError(path_only(self.name, self.columns.image))
        return encoded

    def _guarded(self, read: Callable[[], Value]) -> Value:
        try:
            return read()
        except MemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise InvalidDatasetError(f"{self.name} is damaged ({_first_line(error)}): upload it again.") from error


def open_parquet(path: Path, *, name: str) -> ParquetImages:
    """Read the footer of a Parquet file and find its columns.

    Args:
        path: the file on disk.
        name: name of the file for an error message.

    Returns:
        The file. No row has been read.

    Raises:
        InvalidDatasetError: the file is not a usable Parquet file, or has no usable image or label column.
    """
    _refuse_foreign(path, name)
    try:
        with pq.ParquetFile(path) as file:
            metadata: Any = file.metadata
            schema = file.schema_arrow
    except MemoryError:
        raise
    except UnicodeDecodeError as error:
        raise InvalidDatasetError(f"{name} has column names that are not UTF-8: rename the columns.") from error
    except (pa.ArrowException, OSError) as error:
        raise InvalidDatasetError(f"{name} is damaged ({_first_line(error)}): upload it again.") from error
    columns = find_columns(schema, file=name)
    if metadata.num_rows == 0:
        raise InvalidDatasetError(f"{name} has no rows: leave it out or upload one with images.")
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(1, size)))
    leaf = f"{columns.image}.bytes" if pa.types.is_struct(schema.field(columns.image).type) else columns.image
    return ParquetImages(path, name, metadata.num_rows, columns, batch_rows, leaf)


def refuse_different(files: list[ParquetImages]) -> None:
    """Check that all files have the same image column, label column and class names.

    Args:
        files: at least one file.

    Raises:
        InvalidDatasetError: a file differs from the first file.
    """
    first = files[0]
    for other in files[1:]:
        for what in ("image", "label", "label_kind", "class_names"):
            here, there = getattr(first.columns, what), getattr(other.columns, what)
            if here != there:
                raise InvalidDatasetError(
                    f"{other.name} does not fit {first.name}: {_WHAT[what]} {there!r} instead of "
                    f"{here!r}. Save all files from one dataset."
                )


_WHAT = {
    "image": "the image column is",
    "label": "the label column is",
    "label_kind": "the labels are of the kind",
    "class_names": "the class names are",
}


def _repeated(images: pa.Array) -> Iterator[pa.Array]:
    """Yield an array as binary arrays.

    A dictionary-encoded array is divided. Each part has less than BATCH_BYTES plus the size of one value.
    """
    if not pa.types.is_dictionary(images.type):
        yield images.cast(pa.binary())
        return
    sizes = pc.fill_null(pc.binary_length(images.dictionary).take(images.indices), 0).to_numpy(zero_copy_only=False)
    batches = np.cumsum(sizes, dtype=np.int64) // BATCH_BYTES
    edges = [0, *(np.flatnonzero(np.diff(batches)) + 1).tolist(), len(images)]
    for first, end in pairwise(edges):
        yield images.slice(first, end - first).cast(pa.binary())


def _refuse_foreign(path: Path, name: str) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
        file.seek(-min(size, len(_MAGIC)), 2)
        tail = file.read(len(_MAGIC))
    if size == 0:
        raise InvalidDatasetError(f"{name} is empty: upload it again.")
    if head != _MAGIC:
        raise InvalidDatasetError(f"{name} is not a Parquet file: save the dataset with to_parquet() and upload that.")
    if tail != _MAGIC:
        raise InvalidDatasetError(f"{name} is cut short: its end is missing. Upload it again.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
