"""Marks of cache folders that are being read.

Each reading process has a file that lists the locations that it reads. The file is locked while the process lives. The
kernel releases the lock when the process ends, however it ends. So no mark outlives its reader, and no clock is needed.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

GUARD = "guard"
"""Name of the file whose lock is held while marks are written or read."""


@contextmanager
def reading(folder: Path) -> Iterator[Path]:
    """Create a file of marks in `folder`. It is valid until the block or its process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.reader"
    with ExitStack() as stack:
        with _guarded(folder):  # no other process sees the file before it is locked
            file = stack.enter_context(path.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        stack.callback(path.unlink, missing_ok=True)
        yield path


def mark(path: Path, location: str) -> None:
    """Add a location to a reader's file, before the location is read."""
    with _guarded(path.parent), path.open("a") as file:
        file.write(f"{location}\n")


@contextmanager
def marked(folder: Path) -> Iterator[set[str]]:
    """Yield the locations that live readers have marked. No location is added during the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with _guarded(folder):
        yield {location for path in folder.glob("*.reader") for location in _marks(path)}


def _marks(path: Path) -> list[str]:
    """Return the marks of a reader. The file of a dead reader is deleted."""
    try:
        file = path.open()
    except FileNotFoundError:  # its reader has just ended
        return []
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().split()
    path.unlink(missing_ok=True)
    return []


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    with (folder / GUARD).open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield
