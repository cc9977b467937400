"""Immutable folders, found by key. What is there is complete: it was fsynced and renamed into place.

objects/ab/abcdef…/   an artifact: the stage's files
attempts/…/           what running stages are writing; nothing reads it
"""

import hashlib
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import NotReadyError, StorageUnavailableError


@dataclass(frozen=True, slots=True)
class Stored:
    """A published artifact: for each file its size in bytes and SHA-256."""

    key: str
    files: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file["size"] for file in self.files.values())


class ArtifactStore:
    """Artifacts below one folder, which every worker and the API can read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._objects = root / "objects"
        self._attempts = root / "attempts"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            StorageUnavailableError: they cannot be written.
        """
        try:
            for folder in (self._objects, self._attempts):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"{self.root} cannot be written: {error}.") from error

    def path(self, key: str) -> Path:
        """Folder of the artifact, whether it is there or not."""
        return self._objects / key[:2] / key

    def file(self, key: str, name: str) -> Path:
        """One file of an artifact.

        Raises:
            NotReadyError: it is not there.
        """
        path = self.path(key) / name
        if not path.is_file():
            raise NotReadyError(f"{name} is not stored. Retry the run to make it again.")
        return path

    def attempt(self, run_id: str, stage_id: str, *, token: int) -> Path:
        """A new empty folder for what one attempt writes; earlier attempts at this stage lose theirs."""
        stage = self._attempts / run_id / stage_id.replace("/", "-")
        self.discard(stage)
        folder = stage / str(token)
        while True:
            with suppress(FileNotFoundError):  # another stage of the run ended and took the empty folder with it
                folder.mkdir(parents=True)
                return folder

    def seal(self, folder: Path, key: str) -> Stored:
        """Bring a finished folder to the disk and hash its files; takes as long as they are large."""
        files = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                files[str(path.relative_to(folder))] = {
                    "size": path.stat().st_size,
                    "sha256": _synced_sha256(path),
                }
            else:
                _sync_folder(path)
        _sync_folder(folder)
        return Stored(key, files)

    def place(self, folder: Path, key: str) -> None:
        """Make a sealed folder the artifact of this key, at once; what an unfinished attempt left there gives way.

        The caller sees to it that nobody else places this key meanwhile. Repeating it changes nothing.
        """
        target = self.path(key)
        if not folder.exists() and target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        self.delete(key)
        folder.rename(target)
        _sync_folder(target.parent)

    def publish(self, folder: Path, key: str) -> Stored:
        """Seal and place."""
        stored = self.seal(folder, key)
        self.place(folder, key)
        return stored

    def delete(self, key: str) -> None:
        """Remove an artifact at once: readers see all of it or nothing."""
        self.discard(self.path(key))

    def end_attempt(self, folder: Path) -> None:
        """Remove what an attempt left, and the folders above it that are empty now."""
        self.discard(folder)
        with suppress(OSError):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()

    def forget_attempts(self, run_id: str) -> None:
        """Remove what any attempt of a run left."""
        self.discard(self._attempts / run_id)

    def discard(self, folder: Path) -> None:
        """Remove a folder at once, if it is there; it must be on the store's disk."""
        trash = self._attempts / f"trash-{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)


def _synced_sha256(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
