"""Uploaded files, of either kind, opened as `ImageFile`s: one ZIP, or Parquet files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.data import splits
from core.data.image_file import Opened
from core.data.limits import MAX_ENTRIES, MAX_PIXELS
from core.data.parquet import open_parquet, refuse_different
from core.data.zip.archive import is_zip
from core.data.zip.zipped import open_zip
from core.errors import InvalidDatasetError


class UploadedFile(NamedTuple):
    """A file on disk and what the user called it."""

    path: Path
    name: str


def open_files(
    files: Sequence[UploadedFile], *, max_entries: int = MAX_ENTRIES, max_pixels: int = MAX_PIXELS
) -> Opened:
    """Open what is used of an upload, and see which split each file belongs to; no image is read.

    Raises:
        InvalidDatasetError: there is no file, a ZIP beside others, or a file or a name that cannot be used.
    """
    if not files:
        raise InvalidDatasetError("No file was uploaded: send one ZIP file, or at least one Parquet file.")
    zips = [file for file in files if is_zip(file.path)]
    if not zips:
        chosen = splits.by_file_name([file.name for file in files])
        used = [files[index] for index in chosen.used]
        tables = [open_parquet(file.path, name=file.name) for file in used]
        refuse_different(tables)
        return Opened([*tables], chosen.evaluates, [files[index].name for index in chosen.unused], [])
    if len(files) > 1:
        raise InvalidDatasetError(f"{zips[0].name} is a ZIP beside other files: send one ZIP alone, or Parquet files.")
    return open_zip(zips[0].path, name=zips[0].name, max_entries=max_entries, max_pixels=max_pixels)
