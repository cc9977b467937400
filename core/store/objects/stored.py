"""Where finished artifacts and datasets are: complete folders of files that never change, found by location.

A location is a relative path that only one attempt ever writes (`objects/ab/<key>-<run>-<token>`, `datasets/<id>`), so
no attempt can touch what another has stored, however late it comes. Which one counts is for the database to say.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from core.errors import NotReadyError, StorageUnavailableError

T = TypeVar("T")

REACHES, FIRST_PAUSE_SECONDS = 5, 1.0
"""How often an object store is tried, and the first pause between two tries; each later pause is twice as long."""

OWNER = "owner"
"""Name of the file that says whose store it is."""

KINDS = ("objects", "datasets")
"""The first part of every location."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored folder: its location, and for each file its size in bytes and SHA-256."""

    location: str
    files: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file["size"] for file in self.files.values())


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A location that exists, and when it was last written, seconds since 1970."""

    location: str
    modified_at: float


class Objects(Protocol):
    """What keeps stored folders."""

    def prepare(self) -> None:
        """Raises StorageUnavailableError where nothing can be stored."""

    def put(self, folder: Path, stored: Stored) -> None:
        """Keep a sealed folder at its location; the folder itself is gone afterwards."""

    def reading(self) -> AbstractContextManager[None]:
        """While the block runs, what this process asks for stays here, however long ago it has asked."""

    def folder(self, stored: Stored) -> Path:
        """A folder of this machine with all of its files. Raises NotReadyError where they are not there any more."""

    def file(self, stored: Stored, name: str) -> Path:
        """A file of this machine with that content. Raises NotReadyError where it is not there any more."""

    def damaged(self, stored: Sequence[Stored]) -> set[str]:
        """Locations of those of which a recorded file is not there, or has another size."""

    def delete(self, locations: Iterable[str]) -> None:
        """Remove these locations, if they are there."""

    def copies(self, prefixes: Iterable[str]) -> list[str]:
        """Locations that begin with one of these: `objects/ab/abcd…-run_…-`."""

    def everything(self) -> Iterator[StoredFolder]:
        """All locations."""

    def owner(self, claimant: str = "") -> str:
        """Id of the service whose store this is, or ""; the first claimant becomes it."""

    def make_room(self) -> None:
        """Give up what is here only to be at hand."""

    def free_bytes(self) -> int | None:
        """Room that is left; None where nobody knows. Raises OSError where the disk is away."""


class FolderObjects:
    """Stored folders below one folder, which every worker and the API share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trash = root / "trash"

    def __str__(self) -> str:
        return str(self._root)

    def prepare(self) -> None:
        """Make the folders."""
        try:
            for name in (*KINDS, self._trash.name):
                (self._root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"{self._root} cannot be written: {error}.") from error
        if not os.access(self._root, os.W_OK):
            raise StorageUnavailableError(f"{self._root} cannot be written.")

    def put(self, folder: Path, stored: Stored) -> None:
        """Rename the folder into place, so that readers see all of it or nothing."""
        target = self._root / stored.location
        target.parent.mkdir(parents=True, exist_ok=True)
        self.delete([stored.location])
        folder.rename(target)
        sync_folder(target.parent)

    def reading(self) -> AbstractContextManager[None]:
        """Nothing to do: only what no row names is removed."""
        return nullcontext()

    def folder(self, stored: Stored) -> Path:
        """Where it is."""
        if self.damaged([stored]):
            raise gone(stored.location)
        return self._root / stored.location

    def file(self, stored: Stored, name: str) -> Path:
        """Where it is."""
        path = self._root / stored.location / name
        if not _has_size(path, stored.files[name]["size"]):
            raise gone(stored.location, name)
        return path

    def damaged(self, stored: Sequence[Stored]) -> set[str]:
        """Asks the disk for the size of each file."""
        return {one.location for one in stored if not self._is_whole(one)}

    def _is_whole(self, stored: Stored) -> bool:
        folder = self._root / stored.location
        return folder.is_dir() and all(_has_size(folder / name, file["size"]) for name, file in stored.files.items())

    def delete(self, locations: Iterable[str]) -> None:
        """Remove at once what readers could otherwise see half of."""
        for location in locations:
            throw_away(self._root / location, self._trash)

    def copies(self, prefixes: Iterable[str]) -> list[str]:
        """Locations that begin so."""
        return [
            str(path.relative_to(self._root)) for prefix in prefixes for path in sorted(self._root.glob(f"{prefix}*"))
        ]

    def everything(self) -> Iterator[StoredFolder]:
        """All locations."""
        for path in (*self._root.glob("objects/*/*"), *self._root.glob("datasets/*")):
            with suppress(FileNotFoundError):
                yield StoredFolder(str(path.relative_to(self._root)), path.stat().st_mtime)

    def owner(self, claimant: str = "") -> str:
        """As a file says that is written once."""
        path = self._root / OWNER
        if claimant:
            with suppress(FileExistsError), path.open("x") as file:
                file.write(claimant)
        return path.read_text().strip() if path.exists() else ""

    def make_room(self) -> None:
        """Nothing: all that is here is needed."""

    def free_bytes(self) -> int | None:
        """Of the folder's disk."""
        return shutil.disk_usage(self._root).free


def retry_while_unavailable(reach: Callable[[], T], *, give_up: Callable[[], bool] = lambda: False) -> T:
    """Reach for an object store, again and again while it is away, for a quarter of a minute.

    Args:
        hopeless: asked before each pause; what is true then is that waiting makes no sense any more.

    Raises:
        StorageUnavailableError: it stayed away.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StorageUnavailableError) and not give_up()),
        wait=wait_exponential(multiplier=FIRST_PAUSE_SECONDS),
        stop=stop_after_attempt(REACHES),
        reraise=True,
    )
    return retrying(reach)


def throw_away(folder: Path, trash: Path) -> None:
    """Remove a folder at once, if it is there; `trash` must be on the same disk."""
    trash.mkdir(parents=True, exist_ok=True)
    grave = trash / uuid.uuid4().hex
    with suppress(FileNotFoundError):
        folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def gone(location: str, name: str = "") -> NotReadyError:
    """What to say of a stored folder, or a file of it, that is not there any more."""
    advice = "Upload the dataset again." if location.startswith("datasets/") else "Retry the run to make it again."
    return NotReadyError(f"{name or location} is not stored any more. {advice}")


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False
