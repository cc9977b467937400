"""Open an upload, which is one ZIP or one or more Parquet files, as `ImageFile`s."""

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
    """An uploaded file.

    Attributes:
        path: the file on disk.
        name: the user's name of the file.
    """

    path: Path
    name: str


def open_files(
    files: Sequence[UploadedFile], *, max_entries: int = MAX_ENTRIES, max_pixels: int = MAX_PIXELS
) -> Opened:
    """Open the files that the dataset uses, and assign each file to a split if the names state splits.

    No image is read.

    Args:
        files: one ZIP, or Parquet files.
        max_entries: maximum number of entries of a ZIP.
        max_pixels: maximum number of pixels of an image.

    Returns:
        The opened files, the split of each file, and the names of what is not used.

    Raises:
        InvalidDatasetError: there is no file; there is a ZIP and another file; or a file or its name cannot be used.
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
        raise InvalidDatasetError(f"{zips[0].name} is a ZIP beside other files: send one ZIP or only Parquet files.")
    return open_zip(zips[0].path, name=zips[0].name, max_entries=max_entries, max_pixels=max_pixels)
