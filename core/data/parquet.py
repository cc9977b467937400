"""Parquet files in Hugging Face image format, read as a stream: memory stays flat whatever a file's size."""

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
MAX_EXPANSION = 10
"""Images are compressed already: a file whose images are so many times its size repeats or pads them to fill a disk."""

_MAGIC = b"PAR1"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ParquetImages:
    """One file: where it lies, what the user called it, and what is in it."""

    path: Path
    name: str
    rows: int
    columns: Columns
    batch_rows: int
    leaf: str
    """Parquet's name of the column that holds the encoded images."""
    every_class_trains: ClassVar[bool] = False
    splits_by: ClassVar[str] = "file names"

    @property
    def most_bytes(self) -> int:
        """What its images may come to."""
        return MAX_EXPANSION * self.path.stat().st_size

    @property
    def images_place(self) -> str:
        """Where its images are, as the rest of a sentence."""
        return f" in column {self.columns.image!r} (rows count from 0)"

    def where(self, row: int) -> str:
        """What to call a row in an error."""
        return f"row {row}"

    def why_missing(self, _row: int) -> str:
        """A table says no more of an image that is not there."""
        return "no image"

    def labels(self) -> pa.ChunkedArray:
        """The label column, (rows,).

        Raises:
            InvalidDatasetError: the file is damaged.
        """
        with pq.ParquetFile(self.path, buffer_size=READ_BYTES) as file:
            table = self._guarded(lambda: file.read(columns=[self.columns.label], use_threads=False))
            self._guarded(lambda: table.validate(full=True))
        self._require_rows(table.num_rows)
        return table.column(self.columns.label)

    def images(self) -> Iterator[pa.Array]:
        """The image column as binary arrays of at most `batch_rows`, null where a row has no image.

        A value that the file holds once for many rows is repeated only a few rows at a time: what a small file can
        become is the caller's to bound, and it can do so before the memory is spent.

        Raises:
            InvalidDatasetError: the file is damaged, or holds paths instead of images.
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
        for group in range(file.num_row_groups):  # each has a dictionary of its own
            columns = [self.columns.image]
            yield from file.iter_batches(self.batch_rows, row_groups=[group], columns=columns, use_threads=False)

    def _each(self, values: Iterator[Value]) -> Iterator[Value]:
        """The values; what Arrow finds wrong on the way is told as damage of the file."""
        while (value := self._guarded(lambda: next(values, None))) is not None:
            yield value

    def _require_rows(self, seen: int) -> None:
        if seen != self.rows:
            raise InvalidDatasetError(f"{self.name} is damaged (not {self.rows:,} rows as it says): upload it again.")

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
    """Read a file's footer.

    Args:
        path: where it lies.
        name: what to call it in an error.

    Raises:
        InvalidDatasetError: it is no Parquet file, damaged or empty, or has no image or label column.
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
    """Check that all files have the same columns.

    Raises:
        InvalidDatasetError: one differs from the first.
    """
    first = files[0]
    for other in files[1:]:
        for what in ("image", "label", "label_kind", "class_names"):
            here, there = getattr(first.columns, what), getattr(other.columns, what)
            if here != there:
                raise InvalidDatasetError(
                    f"{other.name} does not fit {first.name}: {_WHAT[what]} {there!r} there, "
                    f"{here!r} here. Save all files from one dataset."
                )


_WHAT = {
    "image": "the image column is",
    "label": "the label column is",
    "label_kind": "the labels are of the kind",
    "class_names": "the class names are",
}


def _repeated(images: pa.Array) -> Iterator[pa.Array]:
    """Plain binary arrays, each less than a value above BATCH_BYTES, of an array that may hold equal values once."""
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
