"""A manifest: a CSV or JSON Lines file at the top of an archive that names each image's label, and maybe its split."""

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
"""Where a row names its image; the first is what Hugging Face's ImageFolder calls it."""
SPLIT_COLUMN = "split"
MAX_BYTES = 64 << 20
SHOWN_FILES = 3

Row = Mapping[str, Any]


def is_manifest(name: str) -> bool:
    """Whether a file at the top lists the images.

    >>> is_manifest("metadata.csv"), is_manifest("train.jsonl"), is_manifest("prices.csv"), is_manifest("a/labels.csv")
    (True, True, False, False)
    """
    return "/" not in name and (name.lower() in CSV_NAMES or name.lower().endswith(".jsonl"))


def by_manifest(content: bytes, *, name: str, files: Collection[str]) -> tuple[dict[str, Place], str]:
    """Places by the rows of a manifest.

    Args:
        content: of the manifest.
        name: its own; the suffix says how it is written.
        files: what lies beside it.

    Returns:
        The place of each file that is listed, and the name of the column of labels.

    Raises:
        InvalidDatasetError: it cannot be read, lacks a column or a value, lists a file twice or one that is not there.
    """
    rows = _read(content, name, most=len(files) + 1)  # with one more, a file is listed twice or is not there
    name = shown(name)
    if not rows:
        raise InvalidDatasetError(f"{name} lists no image: write one a line, with its label.")
    file, label = (_column(rows[0], names, name) for names in (FILE_COLUMNS, LABEL_NAMES))
    in_splits = any(row.get(SPLIT_COLUMN) not in {None, ""} for row in rows)
    places: dict[str, Place] = {}
    for number, row in enumerate(rows, 1):
        path = unicodedata.normalize("NFC", _value(row, file, name, number).removeprefix("./"))
        if path in places:
            raise InvalidDatasetError(f"{name} lists {shown(path)!r} twice, again in row {number}: keep one.")
        split = _split(row, name, number) if in_splits else None
        places[path] = Place(split, _value(row, label, name, number))
    _refuse_missing([path for path in places if path not in files], name)
    return places, label


def _read(content: bytes, name: str, *, most: int) -> list[Row]:
    try:
        return list(islice(_rows(content.decode("utf-8-sig"), name), most))
    except (csv.Error, ValueError, RecursionError) as error:
        told = f"{shown(name)} cannot be read ({error})"
        raise InvalidDatasetError(f"{told}: save it as UTF-8, one image a line.") from error


def _rows(text: str, name: str) -> Iterator[Row]:
    """Rows by the lower-case names of their columns."""
    if name.lower().endswith(".csv"):
        for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
            yield _by_column(row)
        return
    for line in io.StringIO(text):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line is no JSON object")
            yield _by_column(row)


def _by_column(row: Row) -> Row:
    return {str(column).strip().lower(): value for column, value in row.items()}


def _column(row: Row, names: Sequence[str], manifest: str) -> str:
    for name in names:
        if name in row:
            return name
    found = ", ".join(repr(shown(str(name))) for name in list(row)[:10])
    raise InvalidDatasetError(f"{manifest} has no column {' or '.join(names)} (found: {found}): name one so.")


def _value(row: Row, column: str, manifest: str, number: int) -> str:
    """A text or a whole number, as text."""
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
