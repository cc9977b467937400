"""Open a ZIP for the intake: one `ImageFile` for each split. Entries are unpacked one at a time in memory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from core.data.columns import Columns
from core.data.image_file import ImageFile, Opened
from core.data.limits import MAX_ENTRIES, MAX_PIXELS, MAX_ZIP_BYTES
from core.data.parquet import BATCH_BYTES, BATCH_ROWS
from core.data.splits import by_file_name, role_of
from core.data.zip import folders, manifest
from core.data.zip.archive import Budget, DamagedEntryError, Entry, list_entries, read_entry
from core.data.zip.entry_names import is_image, shown
from core.data.zip.folders import Place
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

FOLDER_NAMES = "folder names"
PIXEL_BYTES = 8
"""Bytes of an uncompressed pixel with four 16-bit channels. The size limit of an entry assumes such pixels."""


@dataclass(frozen=True, slots=True)
class ZippedImages:
    """An `ImageFile` of one split of an archive.

    Attributes:
        path: the archive on disk.
        name: name of the split, or the user's name of the archive if the archive does not state splits.
        columns: the source of the labels, and the class names.
        entries: the entry of each row, in the order of their names.
        classes: (rows,) int64 indices into `columns.class_names`.
        budget: budget of the whole archive, which all splits share.
        most_image_bytes: maximum unpacked size of one image.
        splits_by: the rule that assigns the images to splits.
        every_class_trains: True: each class of the evaluation split must have training images.
        most_bytes: maximum number of bytes of all images.
        images_place: empty, because `where` returns the name of an image.
    """

    path: Path
    name: str
    columns: Columns
    entries: Sequence[Entry]
    classes: IntArray
    budget: Budget
    most_image_bytes: int
    splits_by: str
    every_class_trains: ClassVar[bool] = True
    most_bytes: ClassVar[int] = MAX_ZIP_BYTES
    images_place: ClassVar[str] = ""
    _missing: dict[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of images of the split."""
        return len(self.entries)

    def labels(self) -> pa.ChunkedArray:
        """Return the labels, (rows,) int64 indices into the class names."""
        return pa.chunked_array([pa.array(self.classes)])

    def images(self) -> Iterator[pa.Array]:
        """Yield the encoded images in batches.

        Yields:
            Binary arrays, together (rows,), each with at most BATCH_ROWS rows. The row of a damaged entry is null.

        Raises:
            InvalidDatasetError: the archive exceeds its budget.
        """
        batch: list[bytes | None] = []
        size = 0
        with self.path.open("rb") as file:
            for row, entry in enumerate(self.entries):
                try:
                    content = read_entry(file, entry, self.budget, most_bytes=self.most_image_bytes)
                except DamagedEntryError as error:
                    self._missing[row] = str(error)
                    batch.append(None)
                else:
                    batch.append(content)
                    size += len(content)
                if size >= BATCH_BYTES or len(batch) == BATCH_ROWS:
                    yield pa.array(batch, pa.binary())
                    batch, size = [], 0
        if batch:
            yield pa.array(batch, pa.binary())

    def where(self, row: int) -> str:
        """Return the image's name in the archive.

        Args:
            row: index from 0.
        """
        return shown(self.entries[row].name)

    def why_missing(self, row: int) -> str:
        """Return the reason why the image of a row cannot be read.

        Args:
            row: index from 0 of a row that `images` has yielded as null.
        """
        return self._missing.get(row, "no image")


def open_zip(path: Path, *, name: str, max_entries: int = MAX_ENTRIES, max_pixels: int = MAX_PIXELS) -> Opened:
    """Open the splits of an archive. No image is read.

    Args:
        path: the archive on disk.
        name: the user's name of the archive.
        max_entries: maximum number of entries, including folders.
        max_pixels: maximum number of pixels of an image.

    Returns:
        One file for each split that the dataset uses, and the names of what is not used.

    Raises:
        InvalidDatasetError: the archive is unsafe or damaged; or it has neither images in class folders nor a usable
            manifest.
    """
    entries = {entry.name: entry for entry in list_entries(path, max_entries=max_entries)}
    budget = Budget()
    found = _found(path, entries, budget)
    by_split = found.by_split()
    names = [split or name for split in by_split]
    chosen = by_file_name(names)
    used = [[*by_split.values()][index] for index in chosen.used]
    columns = Columns("file", found.label, "class", found.class_names(used), in_folders=found.in_folders)
    number = {class_name: number for number, class_name in enumerate(columns.class_names)}
    files: list[ImageFile] = []
    for index, rows in zip(chosen.used, used, strict=True):
        classes = np.array([number[found.places[row].label] for row in rows], np.int64)
        of_split = [entries[row] for row in rows]
        most = PIXEL_BYTES * max_pixels + BATCH_BYTES
        files.append(ZippedImages(path, names[index], columns, of_split, classes, budget, most, found.splits_by))
    ignored = [listed for listed in entries if listed not in found.places]
    return Opened(files, chosen.evaluates, [names[index] for index in chosen.unused], ignored)


@dataclass(frozen=True, slots=True)
class _Found:
    """The place of each image of an archive, by its name.

    Attributes:
        places: the places, in ascending order of the names.
        label: source of the labels: the name of a manifest's column, or `folder`.
        splits_by: the rule that assigns the images to splits.
    """

    places: dict[str, Place]
    label: str
    splits_by: str

    @property
    def in_folders(self) -> bool:
        return self.splits_by == FOLDER_NAMES

    def class_names(self, splits: Iterable[Iterable[str]]) -> tuple[str, ...]:
        names = {self.places[name].label for split in splits for name in split}
        folders.refuse_clashes(names)
        return tuple(folders.in_order(names))

    def by_split(self) -> dict[str | None, list[str]]:
        """Return the names of the images by split. The key is None if the archive does not state splits."""
        names = defaultdict(list)
        for name, place in self.places.items():
            names[place.split].append(name)
        return dict(sorted(names.items(), key=lambda part: part[0] or ""))


def _found(path: Path, entries: Mapping[str, Entry], budget: Budget) -> _Found:
    images = [name for name in entries if is_image(name)]
    lists = [name for name in entries if manifest.is_manifest(name.rpartition("/")[2])]
    top = folders.wrapping(images, beside=[name for name in lists if name.count("/") <= 1])
    chosen = _manifests([name.removeprefix(top) for name in lists])
    if chosen:
        return _listed(path, entries, budget, top, chosen)
    if not images:
        raise InvalidDatasetError(
            "The ZIP holds no image: zip folders of JPEG, PNG or WebP files that have the names of the classes. "
            "Upload Parquet files without a ZIP."
        )
    places = folders.by_folder([name.removeprefix(top) for name in images])
    return _Found(dict(zip(images, places, strict=True)), "folder", FOLDER_NAMES)


def _manifests(lists: Sequence[str]) -> list[str]:
    """Return the manifest at the top, or else the manifests at the top of folders that are splits.

    Args:
        lists: names of all entries that have the name of a manifest, without the wrapping folder.

    Raises:
        InvalidDatasetError: a folder contains several manifests.
    """
    at_top = [name for name in lists if "/" not in name]
    in_splits = [name for name in lists if name.count("/") == 1 and role_of(name.partition("/")[0])]
    chosen = at_top or in_splits
    if len({name.rpartition("/")[0] for name in chosen}) < len(chosen):
        raise InvalidDatasetError(f"The ZIP has several manifests ({shown(', '.join(chosen))}): keep one of them.")
    return chosen


def _listed(path: Path, entries: Mapping[str, Entry], budget: Budget, top: str, manifests: Sequence[str]) -> _Found:
    places: dict[str, Place] = {}
    for listing in manifests:
        folder, slash, _ = listing.rpartition("/")
        under = top + folder + slash
        files = {name.removeprefix(under) for name in entries if name.startswith(under)}
        content = _content(path, entries[top + listing], budget)
        found, label = manifest.by_manifest(content, name=listing, files=files)
        places |= {under + name: Place(place.split or folder or None, place.label) for name, place in found.items()}
    return _Found(dict(sorted(places.items())), label, "manifest")


def _content(path: Path, entry: Entry, budget: Budget) -> bytes:
    with path.open("rb") as file:
        try:
            return read_entry(file, entry, budget, most_bytes=manifest.MAX_BYTES)
        except DamagedEntryError as error:
            raise InvalidDatasetError(f"{shown(entry.name)} cannot be read: it is {error}.") from error
