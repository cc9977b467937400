"""Finished artifacts and datasets: complete folders of files that never change, found by location.

A location is a relative path that only one attempt writes (`objects/ab/<key>-<run>-<token>`, `datasets/<id>`). So a
late attempt cannot change the files of another attempt. The database records which location is valid.
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

MAX_TRIES, FIRST_PAUSE_SECONDS = 5, 1.0
"""Number of tries at an object store, and the first pause in seconds. Each later pause is twice as long.

Both are chosen by hand: together the pauses are 15 seconds. That bridges a short outage, and an error is reported
15 seconds later.
"""

OWNER = "owner"
"""Name of the file with the id of the service that owns the store."""

KINDS = ("objects", "datasets")
"""The possible first parts of a location."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored folder: its location, and for each file its size in bytes and SHA-256."""

    location: str
    files: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file["size"] for file in self.files.values())


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """An existing location, and the time of its last write in seconds since 1970."""

    location: str
    modified_at: float


class Objects(Protocol):
    """A place for stored folders."""

    def prepare(self) -> None:
        """Make the store ready. Raises StorageUnavailableError if nothing can be stored."""

    def put(self, folder: Path, stored: Stored) -> None:
        """Store a finished folder at its location. The folder itself is moved away."""

    def reading(self) -> AbstractContextManager[None]:
        """Keep all folders that this process requests on this machine until the end of the block."""

    def folder(self, stored: Stored) -> Path:
        """Return a local folder with all files. Raises NotReadyError if a file is missing."""

    def file(self, stored: Stored, name: str) -> Path:
        """Return the local path of one file. Raises NotReadyError if the file is missing."""

    def damaged(self, stored: Sequence[Stored]) -> set[str]:
        """Return the locations where a recorded file is missing or has a wrong size."""

    def delete(self, locations: Iterable[str]) -> None:
        """Delete these locations if they exist."""

    def copies(self, prefixes: Iterable[str]) -> list[str]:
        """Return the locations that start with one of these prefixes, such as `objects/ab/abcd…-run_…-`."""

    def everything(self) -> Iterator[StoredFolder]:
        """Return all locations."""

    def owner(self, claimant: str = "") -> str:
        """Return the id of the service that owns the store; empty if there is none.

        Args:
            claimant: id that becomes the owner if there is none; empty to claim nothing.
        """

    def make_room(self) -> None:
        """Evict cached folders that are not in use."""

    def free_bytes(self) -> int | None:
        """Return the free space in bytes; None if it is not known. Raises OSError if the disk is not available."""


class FolderObjects:
    """Stored folders below one folder that every worker and the API share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trash = root / "trash"

    def __str__(self) -> str:
        return str(self._root)

    def prepare(self) -> None:
        """Create the folders. Raises StorageUnavailableError if they cannot be written."""
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
        """Do nothing: only folders that no row names are deleted."""
        return nullcontext()

    def folder(self, stored: Stored) -> Path:
        """Return the path of the stored folder."""
        if self.damaged([stored]):
            raise gone(stored.location)
        return self._root / stored.location

    def file(self, stored: Stored, name: str) -> Path:
        """Return the path of the stored file."""
        path = self._root / stored.location / name
        if not _has_size(path, stored.files[name]["size"]):
            raise gone(stored.location, name)
        return path

    def damaged(self, stored: Sequence[Stored]) -> set[str]:
        """Return the damaged locations. The size of each file is read from the disk."""
        return {one.location for one in stored if not self._is_whole(one)}

    def _is_whole(self, stored: Stored) -> bool:
        folder = self._root / stored.location
        return folder.is_dir() and all(_has_size(folder / name, file["size"]) for name, file in stored.files.items())

    def delete(self, locations: Iterable[str]) -> None:
        """Rename each location into the trash, so that readers see all of a folder or nothing, and delete it there."""
        for location in locations:
            throw_away(self._root / location, self._trash)

    def copies(self, prefixes: Iterable[str]) -> list[str]:
        """Return the locations that start with one of these prefixes."""
        return [
            str(path.relative_to(self._root)) for prefix in prefixes for path in sorted(self._root.glob(f"{prefix}*"))
        ]

    def everything(self) -> Iterator[StoredFolder]:
        """Return all locations."""
        for path in (*self._root.glob("objects/*/*"), *self._root.glob("datasets/*")):
            with suppress(FileNotFoundError):
                yield StoredFolder(str(path.relative_to(self._root)), path.stat().st_mtime)

    def owner(self, claimant: str = "") -> str:
        """Return the content of the owner file, which is written once."""
        path = self._root / OWNER
        if claimant:
            with suppress(FileExistsError), path.open("x") as file:
                file.write(claimant)
        return path.read_text().strip() if path.exists() else ""

    def make_room(self) -> None:
        """Do nothing: there is no cache."""

    def free_bytes(self) -> int | None:
        """Return the free space of the folder's disk in bytes."""
        return shutil.disk_usage(self._root).free


def retry_while_unavailable(reach: Callable[[], T], *, give_up: Callable[[], bool] = lambda: False) -> T:
    """Call a function, and retry while the object store does not answer, for about 15 seconds.

    Args:
        reach: function that uses the object store.
        give_up: called after each failure; True ends the retries.

    Returns:
        The result of `reach`.

    Raises:
        StorageUnavailableError: the object store did not answer in any try.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StorageUnavailableError) and not give_up()),
        wait=wait_exponential(multiplier=FIRST_PAUSE_SECONDS),
        stop=stop_after_attempt(MAX_TRIES),
        reraise=True,
    )
    return retrying(reach)


def throw_away(folder: Path, trash: Path) -> None:
    """Delete a folder at once if it exists. `trash` must be on the same disk."""
    trash.mkdir(parents=True, exist_ok=True)
    target = trash / uuid.uuid4().hex
    with suppress(FileNotFoundError):
        folder.rename(target)
        shutil.rmtree(target, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def gone(location: str, name: str = "") -> NotReadyError:
    """Return the error for a missing stored folder, or for a missing file of the folder."""
    advice = "Upload the dataset again." if location.startswith("datasets/") else "Retry the run to make it again."
    return NotReadyError(f"{name or location} is not stored any more. {advice}")


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except (FileNotFoundError, NotADirectoryError):
        return False
