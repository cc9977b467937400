"""Read a manifest: a CSV or JSON Lines file that states the label, and optionally the split, of each image of a ZIP."""

import csv
import io
import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from core.data.columns import LABEL_NAMES
from core.data.splits import role_of
from core.data.zip.entry_names import shown
from core.data.zip.folders import Place
from core.errors import InvalidDatasetError

CSV_NAMES = frozenset({"manifest.csv", "labels.csv", "metadata.csv"})
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image")
"""Columns that may contain the image's name, in order of preference. Hugging Face's ImageFolder uses the first."""
SPLIT_COLUMN = "split"
MAX_BYTES = 64 << 20
"""Maximum size of an unpacked manifest in bytes. Memory holds the manifest. Chosen by hand; not measured."""
SHOWN_FILES = 3
"""Number of missing files that an error message names."""

Row = Mapping[str, Any]


def is_manifest(name: str) -> bool:
    """Return True if the name is that of a manifest.

    >>> is_manifest("metadata.csv"), is_manifest("train.jsonl"), is_manifest("prices.csv"), is_manifest("a/labels.csv")
    (True, True, False, False)

    Args:
        name: name of an entry, relative to the folder in which a manifest is allowed.
    """
    return "/" not in name and (name.lower() in CSV_NAMES or name.lower().endswith(".jsonl"))


def by_manifest(content: bytes, *, name: str, files: Collection[str]) -> tuple[dict[str, Place], str]:
    """Read the place of each image from a manifest.

    If no row has a value in the column `split`, the splits of all places are None.

    Args:
        content: bytes of the manifest.
        name: name of the manifest. The suffix states its format.
        files: names of the files in and below the folder of the manifest, relative to that folder.

    Returns:
        The place of each listed file, and the name of the label column.

    Raises:
        InvalidDatasetError: the manifest cannot be read, has no rows, or lacks a column or a value; or it lists a file
            twice or a file that does not exist.
    """
    # A manifest with one row more than there are files lists a file twice or a file that does not exist.
    rows = _read(content, name, most=len(files) + 1)
    name = shown(name)
    if not rows:
        raise InvalidDatasetError(f"{name} lists no image: write one line for each image, with its label.")
    file, label = (_column(rows[0], names, name) for names in (FILE_COLUMNS, LABEL_NAMES))
    in_splits = any(row.get(SPLIT_COLUMN) not in {None, ""} for row in rows)
    places: dict[str, Place] = {}
    for number, row in enumerate(rows, 1):
        path = unicodedata.normalize("NFC", _value(row, file, name, number).removeprefix("./"))
        if path in places:
            raise InvalidDatasetError(f"{name} lists {shown(path)!r} twice, again in row {number}: keep one row.")
        split = _split(row, name, number) if in_splits else None
        places[path] = Place(split, _value(row, label, name, number))
    _refuse_missing([path for path in places if path not in files], name)
    return places, label


def _read(content: bytes, name: str, *, most: int) -> list[Row]:
    try:
        return list(islice(_rows(content.decode("utf-8-sig"), name), most))
    except (csv.Error, ValueError, RecursionError) as error:
        problem = f"{shown(name)} cannot be read ({error})"
        raise InvalidDatasetError(f"{problem}: save it as UTF-8, with one line for each image.") from error


def _rows(text: str, name: str) -> Iterator[Row]:
    """Yield the rows as mappings from lower-case column names to values."""
    if name.lower().endswith(".csv"):
        for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
            yield _by_column(row)
        return
    for line in io.StringIO(text):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line is not a JSON object")
            yield _by_column(row)


def _by_column(row: Row) -> Row:
    return {str(column).strip().lower(): value for column, value in row.items()}


def _column(row: Row, names: Sequence[str], manifest: str) -> str:
    for name in names:
        if name in row:
            return name
    found = ", ".join(repr(shown(str(name))) for name in list(row)[:10])
    raise InvalidDatasetError(f"{manifest} has no column {' or '.join(names)} (found: {found}): add it.")


def _value(row: Row, column: str, manifest: str, number: int) -> str:
    """Return a value that is a string or an integer, as a string without surrounding spaces."""
    value = row.get(column)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise InvalidDatasetError(f"{manifest} has no {column} in row {number} (rows count from 1): add it.")
    return str(value).strip()


def _split(row: Row, manifest: str, number: int) -> str:
    split = _value(row, SPLIT_COLUMN, manifest, number)
    if role_of(split) is None:
        raise InvalidDatasetError(
            f"{manifest} has the split {shown(split)!r} in row {number}: write train, val or test."
        )
    return split


def _refuse_missing(missing: Sequence[str], manifest: str) -> None:
    if missing:
        named = ", ".join(repr(shown(path)) for path in missing[:SHOWN_FILES])
        more = ", …" if len(missing) > SHOWN_FILES else ""
        raise InvalidDatasetError(
            f"{manifest} lists {len(missing):,} files that are not in the ZIP ({named}{more}): add them, or remove "
            "their rows."
        )
