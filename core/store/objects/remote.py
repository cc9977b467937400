"""Stored folders in an object store (S3 and what fsspec knows besides), with a cache on this machine.

Everything is fetched whole before it is read, checked against its SHA-256, and kept in the cache until room is needed:
locations never change, so what the cache has is right.
"""

import hashlib
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec

from core.errors import NotReadyError, StorageUnavailableError
from core.store.objects.stored import KINDS, OWNER, Stored, StoredFolder, retry_while_unavailable

CACHE_BYTES = 20 << 30
WRITABLE_SECONDS = 10.0
"""A store that could be written lately is taken to be writable."""

IN_USE_SECONDS = 3600.0
"""What was asked for more recently stays in the cache: a stage may still read it."""


class RemoteObjects:
    """Stored folders below an address such as `s3://bucket/prefix`."""

    def __init__(self, url: str, *, cache: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self._url = url
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._written_at = -math.inf
        with self._answering():
            self._files, self._root = fsspec.url_to_fs(url)

    def __str__(self) -> str:
        return self._url

    def prepare(self) -> None:
        """Write a small object, to see that it can be done.

        Raises:
            StorageUnavailableError: the store does not answer, or does not let us write.
        """
        self._cache.mkdir(parents=True, exist_ok=True)
        if time.monotonic() - self._written_at > WRITABLE_SECONDS:
            with self._answering():
                self._files.pipe_file(f"{self._root}/.writable", b"")
            self._written_at = time.monotonic()

    def put(self, folder: Path, stored: Stored) -> None:
        """Upload the files; then they are in the cache too."""
        with self._answering():
            for name in stored.files:
                self._files.put_file(str(folder / name), self._address(stored.location, name))
        target = self._cache / stored.location
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)

    def folder(self, stored: Stored) -> Path:
        """Fetch what the cache has not."""
        for name in stored.files:
            self.file(stored, name)
        return self._cache / stored.location

    def file(self, stored: Stored, name: str) -> Path:
        """Fetch it, unless the cache has it."""
        path = self._cache / stored.location / name
        if not path.is_file():
            self._fetch(stored, name, path)
        with suppress(FileNotFoundError):
            os.utime(self._cache / stored.location)
        return path

    def has(self, location: str) -> bool:
        """Whether it is there."""
        with self._answering():
            self._files.invalidate_cache()  # others store and delete there too
            return bool(self._files.exists(f"{self._root}/{location}"))

    def delete(self, location: str) -> None:
        """Remove it there and here."""
        shutil.rmtree(self._cache / location, ignore_errors=True)
        with self._answering(), suppress(FileNotFoundError):
            self._files.rm(f"{self._root}/{location}", recursive=True)

    def copies(self, prefix: str) -> list[str]:
        """Locations that begin so."""
        parent, _, start = prefix.rpartition("/")
        with self._answering(), suppress(FileNotFoundError):
            found = self._files.ls(f"{self._root}/{parent}", detail=False, refresh=True)
            names = sorted(path.rstrip("/").rpartition("/")[2] for path in found)
            return [f"{parent}/{name}" for name in names if name.startswith(start)]
        return []

    def everything(self) -> Iterator[StoredFolder]:
        """All locations; each as old as its newest file."""
        newest: dict[str, float] = {}
        for kind, depth in zip(KINDS, (3, 2), strict=True):
            with self._answering(), suppress(FileNotFoundError):
                for path, info in self._files.find(f"{self._root}/{kind}", detail=True, refresh=True).items():
                    location = "/".join(path.removeprefix(f"{self._root}/").split("/")[:depth])
                    newest[location] = max(newest.get(location, 0.0), _modified_at(info))
        return (StoredFolder(location, at) for location, at in sorted(newest.items()))

    def owner(self, claimant: str = "") -> str:
        """As an object says that is written once."""
        path = f"{self._root}/{OWNER}"
        with self._answering():
            self._files.invalidate_cache()
            if self._files.exists(path):
                return bytes(self._files.cat_file(path)).decode().strip()
            if claimant:
                self._files.pipe_file(path, claimant.encode())
        return claimant

    def make_room(self) -> None:
        """Bound the cache: what was not asked for longest goes first, what was asked for lately stays."""
        with suppress(FileNotFoundError):  # another process of this machine makes room too
            held = sorted((path.stat().st_mtime, path) for kind in KINDS for path in self._folders(kind))
            size = sum(_size(path) for _, path in held)
            for used_at, path in held:
                if size <= self._cache_bytes or used_at > time.time() - IN_USE_SECONDS:
                    return
                size -= _size(path)
                shutil.rmtree(path, ignore_errors=True)

    def free_bytes(self) -> int | None:
        """Object stores do not tell."""
        return None

    def _folders(self, kind: str) -> Iterator[Path]:
        return self._cache.glob(f"{kind}/*/*" if kind == "objects" else f"{kind}/*")

    def _fetch(self, stored: Stored, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        self._get(self._address(stored.location, name), draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != stored.files[name]["sha256"]:
            draft.unlink()
            raise StorageUnavailableError(f"{self._address(stored.location, name)} came broken. Try again.")
        draft.rename(path)

    def _get(self, address: str, draft: Path) -> None:
        def fetch() -> None:
            with self._answering():
                self._files.get_file(address, str(draft))

        try:
            retry_while_unavailable(fetch)
        except FileNotFoundError as error:
            raise NotReadyError(f"{address} is not stored any more. Retry the run to make it again.") from error

    def _address(self, location: str, name: str) -> str:
        return f"{self._root}/{location}/{name}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Client libraries have exceptions of their own: what is no missing file is a store that does not answer."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            detail = f"The artifact store {self._url} does not answer: {type(error).__name__}: {error}."
            raise StorageUnavailableError(detail) from error


def _modified_at(info: dict[str, Any]) -> float:
    moment: Any = info.get("LastModified") or info.get("created") or info.get("mtime")
    return float(moment.timestamp() if hasattr(moment, "timestamp") else moment or time.time())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
