"""The artifact store: scratch folders of running tasks, and finished folders.

attempts/<run>/<task>/<token>/   files of a running task; no other process reads them
incoming/<dataset>/               files of an unfinished upload; no other process reads them
objects/, datasets/               finished folders: see core.store.objects.stored
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from core.errors import StorageUnavailableError
from core.store.objects.stored import FolderObjects, Objects, Stored, sync_folder, throw_away

FETCHED_AT_ONCE = 8
"""Concurrent fetches. Chosen by hand: more fetches use more bandwidth and more connections."""


def open_store(url: str, *, home: Path) -> "ArtifactStore":
    """Return the store at a path, or at an address that fsspec supports (`s3://bucket/prefix`).

    Args:
        url: path or `file:///…` URL of a folder that API and workers share, or the address of an object store.
        home: data folder of this machine. With an object store, scratch and cache are in this folder.
    """
    if "://" in url and not url.startswith("file://"):
        from core.store.objects.remote import RemoteObjects  # noqa: PLC0415 - most services need no fsspec

        return ArtifactStore(RemoteObjects(url, cache=home / "cache"), scratch=home / "scratch")
    root = Path(url.removeprefix("file://")).expanduser().resolve()
    return ArtifactStore(FolderObjects(root), scratch=root)


class ArtifactStore:
    """Scratch folders of this machine, and finished folders that every worker and the API can read.

    Attributes:
        scratch: folder of this machine. It is on the same disk as the finished folders if those are local.
        objects: stores the finished folders.
    """

    def __init__(self, objects: Objects, *, scratch: Path) -> None:
        self.objects = objects
        self.scratch = scratch
        self.attempts = scratch / "attempts"
        self.incoming = scratch / "incoming"
        self.trash = scratch / "trash"

    def prepare(self) -> None:
        """Create the folders.

        Raises:
            StorageUnavailableError: the folders cannot be written, or the object store does not answer.
        """
        try:
            for folder in (self.attempts, self.incoming, self.trash):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"{self.scratch} cannot be written: {error}.") from error
        self.objects.prepare()

    def attempt(self, run_id: str, task_id: str, *, token: int) -> Path:
        """Create an empty folder for one attempt at a task. Folders of earlier attempts at the task are deleted."""
        task = self.attempts / run_id / task_id.replace("/", "-")
        for earlier in task.glob("*"):
            if int(earlier.name) <= token:  # a later attempt belongs to another worker: this attempt is stale
                self.discard(earlier)
        folder = task / str(token)
        while True:
            with suppress(FileNotFoundError):  # another task of the run ended and deleted the empty parent folder
                folder.mkdir(parents=True)
                return folder

    def put(self, folder: Path, key: str, *, run_id: str, token: int) -> Stored:
        """Store the output folder of an attempt. The artifact is published only by a row of the database.

        Args:
            folder: finished folder; it is moved away.
            key: key of the artifact.
            run_id: id of the run.
            token: fencing token of the attempt; makes the location unique.


        Raises:
            OSError: the disk is full or broken.
            StorageUnavailableError: the object store does not answer.
        """
        return self._keep(folder, f"{_prefix(key, run_id)}{token}")

    def put_dataset(self, folder: Path, dataset_id: str) -> Stored:
        """Store the folder of a dataset. Raises the errors of `put`."""
        return self._keep(folder, f"datasets/{dataset_id}")

    def _keep(self, folder: Path, location: str) -> Stored:
        stored = Stored(location, _sealed(folder))
        self.objects.put(folder, stored)
        return stored

    def reading(self) -> AbstractContextManager[None]:
        """Keep all folders that this process requests on this machine until the end of the block.

        A task may read for hours.
        """
        return self.objects.reading()

    def folder(self, stored: Stored) -> Path:
        """Return a local folder with all files of a stored folder. The caller must not change it.

        Raises:
            NotReadyError: the folder is missing or incomplete.
            StorageUnavailableError: the object store does not answer.
        """
        return self.objects.folder(stored)

    def folders(self, stored: Iterable[Stored]) -> list[Path]:
        """Return the local folders of several stored folders, in order. They are fetched concurrently."""
        with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            return list(pool.map(self.objects.folder, stored))

    def file(self, stored: Stored, name: str) -> Path:
        """Return the local path of one file of a stored folder. Raises the errors of `folder`."""
        return self.objects.file(stored, name)

    def missing(self, stored: Mapping[str, Stored]) -> dict[str, Stored]:
        """Return the stored folders of which a file is missing or has a wrong size."""
        damaged = self.objects.damaged(list(stored.values()))
        return {key: one for key, one in stored.items() if one.location in damaged}

    def delete(self, locations: Iterable[str]) -> None:
        """Delete these locations if they exist. The caller makes sure that no row of the database names them."""
        self.objects.delete(locations)

    def copies(self, keys: Iterable[str], *, run_id: str) -> list[str]:
        """Return all locations that attempts of a run stored under these keys, recorded or not."""
        return self.objects.copies(_prefix(key, run_id) for key in keys)

    def end_attempt(self, folder: Path) -> None:
        """Delete the folder of an attempt, and the folders above it that are empty then."""
        self.discard(folder)
        with suppress(OSError):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()

    def forget_attempts(self, run_id: str) -> None:
        """Delete the folders of all attempts of a run on this machine."""
        self.discard(self.attempts / run_id)

    def discard(self, folder: Path) -> None:
        """Delete a scratch folder at once if it exists."""
        throw_away(folder, self.trash)


def _prefix(key: str, run_id: str) -> str:
    return f"objects/{key[:2]}/{key}-{run_id}-"


def _sealed(folder: Path) -> dict[str, dict[str, object]]:
    """Flush a finished folder to the disk; return the size and SHA-256 of each file."""
    files: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[str(path.relative_to(folder))] = {"size": path.stat().st_size, "sha256": _synced_sha256(path)}
        else:
            sync_folder(path)
    sync_folder(folder)
    return files


def _synced_sha256(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()
