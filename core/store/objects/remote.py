"""Stored folders in an object store (S3 and other stores that fsspec supports), with a cache on this machine.

A file is fetched whole and checked against its SHA-256 before it is read. The cache keeps the file until space is
needed. The content of a location never changes, so the cache is always valid.
"""

import hashlib
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec

from core.errors import StorageUnavailableError
from core.store.objects import cache_readers
from core.store.objects.stored import KINDS, OWNER, Stored, StoredFolder, T, gone, retry_while_unavailable

CACHE_BYTES = 20 << 30
"""Size limit of the cache. Chosen by hand: a smaller cache uses less disk and fetches more often."""

ASKED_AT_ONCE = 32
"""Concurrent requests of one call. Chosen by hand: more requests are faster and open more connections."""

WRITABLE_SECONDS = 10.0
"""For this time after a successful write, the store is assumed to be writable.

Chosen by hand: it limits probe writes.
"""

IN_USE_SECONDS = 3600.0
"""Folders that were requested within this time stay in the cache: a response may still read from them."""

READERS = "readers"
"""Folder of the cache where tasks mark the locations that they read (`core.store.objects.cache_readers`)."""


class RemoteObjects:
    """Stored folders below an address such as `s3://bucket/prefix`."""

    def __init__(self, url: str, *, cache: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self._url = url
        self._cache = cache
        self._cache_bytes = cache_bytes
        self._written_at = -math.inf
        self._reader: Path | None = None
        self._marked: set[str] = set()
        with self._answering():
            # Other processes store and delete there too, so listings must not be cached.
            self._files, self._root = fsspec.url_to_fs(url, use_listings_cache=False, **_options(url))

    def __str__(self) -> str:
        return self._url

    def prepare(self) -> None:
        """Write a small object to check that the store is writable.

        Raises:
            StorageUnavailableError: the store does not answer or refuses the write.
        """
        self._cache.mkdir(parents=True, exist_ok=True)
        if time.monotonic() - self._written_at > WRITABLE_SECONDS:
            with self._answering():
                self._files.pipe_file(f"{self._root}/.writable", b"")
            self._written_at = time.monotonic()

    def put(self, folder: Path, stored: Stored) -> None:
        """Upload the files and move the folder into the cache."""
        with self._answering():
            for name in stored.files:
                self._files.put_file(str(folder / name), self._address(stored.location, name))
        target = self._cache / stored.location
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep all folders that this process requests in the cache until the end of the block."""
        with cache_readers.reading(self._cache / READERS) as reader:
            self._reader = reader
            yield
        self._reader, self._marked = None, set()

    def folder(self, stored: Stored) -> Path:
        """Return the folder in the cache, and fetch files that are not there."""
        for name in stored.files:
            self.file(stored, name)
        return self._cache / stored.location

    def file(self, stored: Stored, name: str) -> Path:
        """Return the file in the cache, and fetch it if it is not there."""
        self._mark(stored.location)
        path = self._cache / stored.location / name
        if not path.is_file():
            self._fetch(stored, name, path)
        with suppress(FileNotFoundError):
            os.utime(self._cache / stored.location)
        return path

    def _mark(self, location: str) -> None:
        if self._reader and location not in self._marked:
            cache_readers.mark(self._reader, location)
            self._marked.add(location)

    def damaged(self, stored: Sequence[Stored]) -> set[str]:
        """Return the damaged locations. Each location is listed once."""
        listed = self._side_by_side(self._sizes, [one.location for one in stored])
        pairs = zip(stored, listed, strict=True)
        return {
            one.location
            for one, sizes in pairs
            if any(sizes.get(name) != one.files[name]["size"] for name in one.files)
        }

    def delete(self, locations: Iterable[str]) -> None:
        """Delete the locations in the store and in the cache: one listing for each, then one request for all files."""
        every = list(locations)
        for location in every:
            shutil.rmtree(self._cache / location, ignore_errors=True)
        listed = self._side_by_side(self._sizes, every)
        files = [self._address(location, name) for location, names in zip(every, listed, strict=True) for name in names]
        if files:
            with self._answering(), suppress(FileNotFoundError):
                self._files.rm(files)

    def copies(self, prefixes: Iterable[str]) -> list[str]:
        """Return the locations with these prefixes. Each parent folder is listed once."""
        wanted = tuple(prefixes)
        listed = self._side_by_side(self._names, sorted({prefix.rpartition("/")[0] for prefix in wanted}))
        return sorted(location for names in listed for location in names if location.startswith(wanted))

    def _sizes(self, location: str) -> dict[str, int]:
        """Return the size in bytes of every file below a location."""
        with self._answering(), suppress(FileNotFoundError):
            found = self._files.find(f"{self._root}/{location}", detail=True)
            return {path.removeprefix(self._address(location, "")): info["size"] for path, info in found.items()}
        return {}

    def _names(self, folder: str) -> list[str]:
        """Return the locations in a folder."""
        with self._answering(), suppress(FileNotFoundError):
            found = self._files.ls(f"{self._root}/{folder}", detail=False)
            return [f"{folder}/{path.rstrip('/').rpartition('/')[2]}" for path in found]
        return []

    def _side_by_side(self, ask: Callable[[str], T], about: Sequence[str]) -> list[T]:
        """Call `ask` for each location, ASKED_AT_ONCE at a time. The results are in order."""
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            return list(pool.map(ask, about))

    def everything(self) -> Iterator[StoredFolder]:
        """Return all locations. The age of a location is the age of its newest file."""
        newest: dict[str, float] = {}
        for kind, depth in zip(KINDS, (3, 2), strict=True):
            with self._answering(), suppress(FileNotFoundError):
                for path, info in self._files.find(f"{self._root}/{kind}", detail=True).items():
                    location = "/".join(path.removeprefix(f"{self._root}/").split("/")[:depth])
                    newest[location] = max(newest.get(location, 0.0), _modified_at(info))
        return (StoredFolder(location, at) for location, at in sorted(newest.items()))

    def owner(self, claimant: str = "") -> str:
        """Return the content of the owner object, which is written once."""
        path = f"{self._root}/{OWNER}"
        with self._answering():
            if self._files.exists(path):
                return bytes(self._files.cat_file(path)).decode().strip()
            if claimant:
                self._files.pipe_file(path, claimant.encode())
        return claimant

    def make_room(self) -> None:
        """Evict the least recently requested folders until the cache is below its limit.

        Folders that a reader has marked, or that were requested within IN_USE_SECONDS, stay.
        """
        # Another process of this machine may evict the same folders at the same time.
        with suppress(FileNotFoundError), cache_readers.marked(self._cache / READERS) as marked:
            cached = sorted((path.stat().st_mtime, path) for kind in KINDS for path in self._folders(kind))
            size = sum(_size(path) for _, path in cached)
            for used_at, path in cached:
                if size <= self._cache_bytes or used_at > time.time() - IN_USE_SECONDS:
                    return
                if str(path.relative_to(self._cache)) not in marked:
                    size -= _size(path)
                    shutil.rmtree(path, ignore_errors=True)

    def free_bytes(self) -> int | None:
        """Return None: object stores do not report free space."""
        return None

    def _folders(self, kind: str) -> Iterator[Path]:
        return self._cache.glob(f"{kind}/*/*" if kind == "objects" else f"{kind}/*")

    def _fetch(self, stored: Stored, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid.uuid4().hex}")
        self._get(stored.location, name, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != stored.files[name]["sha256"]:
            draft.unlink()
            raise StorageUnavailableError(f"{self._address(stored.location, name)} was damaged in transfer. Try again.")
        draft.rename(path)

    def _get(self, location: str, name: str, draft: Path) -> None:
        def fetch() -> None:
            with self._answering():
                self._files.get_file(self._address(location, name), str(draft))

        try:
            retry_while_unavailable(fetch)
        except FileNotFoundError as error:
            raise gone(location, name) from error

    def _address(self, location: str, name: str) -> str:
        return f"{self._root}/{location}/{name}"

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Convert every exception of the client library except FileNotFoundError to StorageUnavailableError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            detail = f"The artifact store {self._url} does not answer: {type(error).__name__}: {error}."
            raise StorageUnavailableError(detail) from error


def _options(url: str) -> dict[str, Any]:
    """Return the client options. The S3 client keeps ten connections by default."""
    return {"config_kwargs": {"max_pool_connections": ASKED_AT_ONCE}} if url.startswith("s3://") else {}


def _modified_at(info: dict[str, Any]) -> float:
    value: Any = info.get("LastModified") or info.get("created") or info.get("mtime")
    return float(value.timestamp() if hasattr(value, "timestamp") else value or time.time())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
