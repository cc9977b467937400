"""Label columns of every kind to class indices, checked before any image is read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.data.columns import Columns
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

MIN_IMAGES_PER_CLASS = 2
"""On average: a column with fewer rows a value numbers or describes the images instead of sorting them."""


MAX_NAME_BYTES = 400
"""Of a class name: longer ones are texts, and each is held once a row while the labels are read."""


def encode_labels(
    tables: Sequence[pa.ChunkedArray], columns: Columns, *, files: Sequence[str]
) -> tuple[list[IntArray], tuple[str, ...]]:
    """Labels of several files as indices into one list of class names.

    Names that come with the column keep their order; other values are sorted, numbers as numbers.

    Args:
        tables: the label column of each file.
        columns: what is known of it.
        files: what to call each file in an error.

    Returns:
        (M,) class indices for each file, and the C class names.

    Raises:
        InvalidDatasetError: a label is missing, outside the class names or too long, all are the same, or they name
            single images.
    """
    for table, file in zip(tables, files, strict=True):
        _refuse_missing(table, columns.label, file)
        _refuse_long(table, columns, file)
    if columns.label_kind == "class":
        names = columns.class_names
        indices = [_within(table, columns, file) for table, file in zip(tables, files, strict=True)]
    else:
        indices, names = _by_value(tables)
    _refuse_useless(np.concatenate(indices), names, columns)
    return indices, names


def refuse_single_class(labels: IntArray, class_names: Sequence[str], *, place: str, split: str) -> None:
    """Check that there is something to learn.

    Raises:
        InvalidDatasetError: all labels are the same.
    """
    present = np.unique(labels)
    if len(present) == 1:
        raise InvalidDatasetError(
            f"All {len(labels):,} {split} images have the same label in {place} "
            f"({class_names[int(present[0])]!r}): at least two classes are needed."
        )


def _refuse_missing(labels: pa.ChunkedArray, column: str, file: str) -> None:
    if labels.null_count:
        row = pc.index(pc.is_null(labels), value=True).as_py()
        raise InvalidDatasetError(
            f"{file}: column {column!r} has no label in {labels.null_count:,} of {len(labels):,} rows, first "
            f"in row {row} (rows count from 0): label or remove them."
        )


def _refuse_long(labels: pa.ChunkedArray, columns: Columns, file: str) -> None:
    """Before a dictionary is spread over its rows."""
    longest = max((len(name.encode()) for name in columns.class_names), default=0)
    for chunk in labels.chunks:
        values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if len(values) and (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            longest = max(longest, pc.max(pc.binary_length(values)).as_py() or 0)
    if longest > MAX_NAME_BYTES:
        raise InvalidDatasetError(
            f"{file}: a class name in column {columns.label!r} has {longest:,} bytes, more than the {MAX_NAME_BYTES} "
            "allowed: shorten it."
        )


def _within(labels: pa.ChunkedArray, columns: Columns, file: str) -> IntArray:
    indices = np.asarray(labels.cast(pa.int64(), safe=False).to_numpy(), np.int64)
    wrong = np.flatnonzero((indices < 0) | (indices >= len(columns.class_names)))
    if len(wrong):
        row = int(wrong[0])
        raise InvalidDatasetError(
            f"{file}: column {columns.label!r} has {len(columns.class_names)} class names, but "
            f"{len(wrong):,} rows have a label outside of them, first row {row} with {indices[row]} "
            "(rows count from 0): correct or remove them."
        )
    return indices


def _by_value(tables: Sequence[pa.ChunkedArray]) -> tuple[list[IntArray], tuple[str, ...]]:
    encoded = [_plain(table).combine_chunks().dictionary_encode() for table in tables]
    found: set[Any] = {value for table in encoded for value in table.dictionary.to_pylist()}
    order = {value: index for index, value in enumerate(sorted(found))}
    indices = []
    for table in encoded:
        lookup = np.array([order[value] for value in table.dictionary.to_pylist()], np.int64)
        indices.append(lookup[table.indices.to_numpy()])
    return indices, tuple(str(value) for value in order)


def _plain(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    return labels if pa.types.is_integer(labels.type) else labels.cast(pa.string())


def _refuse_useless(labels: IntArray, names: tuple[str, ...], columns: Columns) -> None:
    refuse_single_class(labels, names, place=columns.label_place, split="of the")
    if columns.label_kind != "class" and len(names) * MIN_IMAGES_PER_CLASS > len(labels):
        raise InvalidDatasetError(
            f"Column {columns.label!r} has {len(names):,} different values in {len(labels):,} rows, so it is "
            "no class label: name the column of the classes 'label'."
        )
