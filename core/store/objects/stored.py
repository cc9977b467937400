"""Where finished artifacts and datasets are: complete folders of files that never change, found by location.

A location is a relative path that only one attempt ever writes (`objects/ab/<key>-<run>-<token>`, `datasets/<id>`), so
no attempt can touch what another has stored, however late it comes. Which one counts is for the database to say.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
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

    def folder(self, stored: Stored) -> Path:
        """A folder of this machine with all of its files. Raises NotReadyError where they are not there any more."""

    def file(self, stored: Stored, name: str) -> Path:
        """A file of this machine with that content. Raises NotReadyError where it is not there any more."""

    def has(self, location: str) -> bool:
        """Whether it is there."""

    def delete(self, location: str) -> None:
        """Remove a location, if it is there."""

    def copies(self, prefix: str) -> list[str]:
        """Locations that begin so: `objects/ab/abcd…-run_…-`."""

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
        self.delete(stored.location)
        folder.rename(target)
        sync_folder(target.parent)

    def folder(self, stored: Stored) -> Path:
        """Where it is."""
        path = self._root / stored.location
        if not path.is_dir():
            raise _gone(stored.location)
        return path

    def file(self, stored: Stored, name: str) -> Path:
        """Where it is."""
        path = self._root / stored.location / name
        if not path.is_file():
            raise _gone(name)
        return path

    def has(self, location: str) -> bool:
        """Whether it is there."""
        return (self._root / location).is_dir()

    def delete(self, location: str) -> None:
        """Remove at once what readers could otherwise see half of."""
        throw_away(self._root / location, self._trash)

    def copies(self, prefix: str) -> list[str]:
        """Locations that begin so."""
        parent, _, start = prefix.rpartition("/")
        return sorted(f"{parent}/{path.name}" for path in (self._root / parent).glob(f"{start}*"))

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


def _gone(what: str) -> NotReadyError:
    return NotReadyError(f"{what} is not stored any more. Retry the run to make it again.")
