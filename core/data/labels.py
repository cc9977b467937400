"""Convert label columns to class indices. All labels are checked before any image is read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.data.columns import Columns
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

MIN_IMAGES_PER_CLASS = 2
"""Minimum average number of rows for each value of a column without class names.

A column with fewer rows for each value usually contains identifiers or captions. Chosen by hand; not measured.
"""


MAX_NAME_BYTES = 400
"""Maximum length of a class name in UTF-8 bytes.

While labels are read, memory holds the name once for each row, so a long text would exhaust memory. Chosen by hand; not
measured.
"""


def encode_labels(
    tables: Sequence[pa.ChunkedArray], columns: Columns, *, files: Sequence[str]
) -> tuple[list[IntArray], tuple[str, ...]]:
    """Convert the labels of several files to indices into one list of class names.

    Class names that the schema defines keep their order. Other values are sorted: integers by value, strings by
    code point.

    Args:
        tables: the label column of each file, (M,) each.
        columns: the columns that all files share.
        files: name of each file for an error message.

    Returns:
        (M,) int64 class indices for each file, and the C class names.

    Raises:
        InvalidDatasetError: a label is missing, is not an index of a class name, or is too long; all labels are equal;
            or there are fewer than MIN_IMAGES_PER_CLASS rows for each value.
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
    """Check that the labels contain at least two classes.

    Args:
        labels: (M,) int64, indices into `class_names`.
        class_names: C names.
        place: where the labels are, as a phrase for the error message.
        split: `training` or `of the`, the word before `images` in the error message.

    Raises:
        InvalidDatasetError: all labels are equal.
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
            f"in row {row} (rows count from 0): add the labels or remove the rows."
        )


def _refuse_long(labels: pa.ChunkedArray, columns: Columns, file: str) -> None:
    """Refuse long class names before the values of a dictionary are copied to each row."""
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
            f"{len(wrong):,} rows have a label that is no index of a class name, first row {row} with {indices[row]} "
            "(rows count from 0): correct or remove these rows."
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
            "no class label: name the column of the class labels 'label'."
        )
