"""ZIP files as the intake reads them: one `ImageFile` for each split, read entry by entry where it lies."""

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
"""An image of 16 bits and four channels that is not compressed has so many."""


@dataclass(frozen=True, slots=True)
class ZippedImages:
    """The images of one split of an archive, by name.

    Attributes:
        path: of the archive.
        name: the split's, or the archive's where it says nothing of splits.
        columns: where the labels come from.
        entries: one for each row.
        classes: (rows,) index into `columns.class_names`.
        budget: of the whole archive.
        most_image_bytes: of one image.
        splits_by: what says to which split it belongs.
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
        """How many images the split has."""
        return len(self.entries)

    def labels(self) -> pa.ChunkedArray:
        """(rows,) int64 indices into the class names."""
        return pa.chunked_array([pa.array(self.classes)])

    def images(self) -> Iterator[pa.Array]:
        """Binary arrays of some images each, null where an entry is damaged.

        Raises:
            InvalidDatasetError: the archive becomes more than it may.
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
        """The image's name in the archive."""
        return shown(self.entries[row].name)

    def why_missing(self, row: int) -> str:
        """What is wrong with the entry."""
        return self._missing.get(row, "no image")


def open_zip(path: Path, *, name: str, max_entries: int = MAX_ENTRIES, max_pixels: int = MAX_PIXELS) -> Opened:
    """Open the splits of an archive; no image is read.

    Args:
        path: where it lies.
        name: what the user called it.
        max_entries: most entries, folders among them.
        max_pixels: most pixels of an image.

    Raises:
        InvalidDatasetError: the archive is unsafe or damaged, or holds no images in class folders or by a manifest.
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
    """Where each image of an archive belongs, by its name there.

    Attributes:
        places: in the order of names.
        label: what says the label: a manifest's column, or `folder`.
        splits_by: what says the split.
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
        """The images of each split."""
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
            "The ZIP holds no image: zip folders of JPEG, PNG or WebP files that are named by their class. "
            "(Parquet files are sent as they are.)"
        )
    places = folders.by_folder([name.removeprefix(top) for name in images])
    return _Found(dict(zip(images, places, strict=True)), "folder", FOLDER_NAMES)


def _manifests(lists: Sequence[str]) -> list[str]:
    """The one at the top, or those at the top of splits; others are no manifests."""
    at_top = [name for name in lists if "/" not in name]
    in_splits = [name for name in lists if name.count("/") == 1 and role_of(name.partition("/")[0])]
    chosen = at_top or in_splits
    if len({name.rpartition("/")[0] for name in chosen}) < len(chosen):
        raise InvalidDatasetError(f"The ZIP has several manifests ({shown(', '.join(chosen))}): keep one.")
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
