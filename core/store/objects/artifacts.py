"""The artifact store: scratch folders that stages write to, and what became of them.

attempts/<run>/<stage>/<token>/   what a running stage writes; nothing reads it
incoming/<dataset>/               an upload on its way; nothing reads it
objects/, datasets/               what is finished: see core.store.objects
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


def open_store(url: str, *, home: Path) -> "ArtifactStore":
    """The store at a path, or at an address that fsspec knows (`s3://bucket/prefix`).

    Args:
        url: a folder that API and workers share, `file:///…`, or the address of an object store.
        home: data folder of this machine: scratch and cache of an object store are in it.
    """
    if "://" in url and not url.startswith("file://"):
        from core.store.objects.remote import RemoteObjects  # noqa: PLC0415 - most services need no fsspec

        return ArtifactStore(RemoteObjects(url, cache=home / "cache"), scratch=home / "scratch")
    root = Path(url.removeprefix("file://")).expanduser().resolve()
    return ArtifactStore(FolderObjects(root), scratch=root)


class ArtifactStore:
    """Scratch on this machine, and finished folders that every worker and the API can read.

    Attributes:
        scratch: folder of this machine; the same disk as the finished folders where those are a folder too.
        objects: keeps what is finished.
    """

    def __init__(self, objects: Objects, *, scratch: Path) -> None:
        self.objects = objects
        self.scratch = scratch
        self.attempts = scratch / "attempts"
        self.incoming = scratch / "incoming"
        self.trash = scratch / "trash"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StorageUnavailableError: they cannot be written, or the object store does not answer.
        """
        try:
            for folder in (self.attempts, self.incoming, self.trash):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"{self.scratch} cannot be written: {error}.") from error
        self.objects.prepare()

    def attempt(self, run_id: str, stage_id: str, *, token: int) -> Path:
        """A new empty folder for what one attempt writes; earlier attempts at this stage lose theirs."""
        stage = self.attempts / run_id / stage_id.replace("/", "-")
        for earlier in stage.glob("*"):
            if int(earlier.name) <= token:  # a later one is somebody else's: this attempt is stale
                self.discard(earlier)
        folder = stage / str(token)
        while True:
            with suppress(FileNotFoundError):  # another stage of the run ended and took the empty folder with it
                folder.mkdir(parents=True)
                return folder

    def put(self, folder: Path, key: str, *, run_id: str, token: int) -> Stored:
        """Store what one attempt has made under a key. It counts once the database says so.

        Raises:
            OSError: the disk is full or broken.
            StorageUnavailableError: the object store does not answer.
        """
        return self._keep(folder, f"{_prefix(key, run_id)}{token}")

    def put_dataset(self, folder: Path, dataset_id: str) -> Stored:
        """Store a dataset. Raises what `put` raises."""
        return self._keep(folder, f"datasets/{dataset_id}")

    def _keep(self, folder: Path, location: str) -> Stored:
        stored = Stored(location, _sealed(folder))
        self.objects.put(folder, stored)
        return stored

    def reading(self) -> AbstractContextManager[None]:
        """While the block runs, what this process asks for stays on this machine. A stage reads for hours."""
        return self.objects.reading()

    def folder(self, stored: Stored) -> Path:
        """A folder of this machine with all files of it, to be read only.

        Raises:
            NotReadyError: it is not there any more.
            StorageUnavailableError: the object store does not answer.
        """
        return self.objects.folder(stored)

    def folders(self, stored: Iterable[Stored]) -> list[Path]:
        """The same for several, in order, fetched side by side."""
        with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            return list(pool.map(self.objects.folder, stored))

    def file(self, stored: Stored, name: str) -> Path:
        """One file of it. Raises what `folder` raises."""
        return self.objects.file(stored, name)

    def missing(self, stored: Mapping[str, Stored]) -> dict[str, Stored]:
        """Those of which a file is not there any more, or has another size than it was stored with."""
        damaged = self.objects.damaged(list(stored.values()))
        return {key: one for key, one in stored.items() if one.location in damaged}

    def delete(self, locations: Iterable[str]) -> None:
        """Remove these, if they are there; the caller knows that no row of the database names them."""
        self.objects.delete(locations)

    def copies(self, keys: Iterable[str], *, run_id: str) -> list[str]:
        """All that attempts of a run have stored under these keys, recorded or not."""
        return self.objects.copies(_prefix(key, run_id) for key in keys)

    def end_attempt(self, folder: Path) -> None:
        """Remove what an attempt left, and the folders above it that are empty now."""
        self.discard(folder)
        with suppress(OSError):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()

    def forget_attempts(self, run_id: str) -> None:
        """Remove what any attempt of a run left on this machine."""
        self.discard(self.attempts / run_id)

    def discard(self, folder: Path) -> None:
        """Remove a scratch folder at once, if it is there."""
        throw_away(folder, self.trash)


def _prefix(key: str, run_id: str) -> str:
    return f"objects/{key[:2]}/{key}-{run_id}-"


def _sealed(folder: Path) -> dict[str, dict[str, object]]:
    """Bring a finished folder to the disk; for each file its size and SHA-256."""
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
