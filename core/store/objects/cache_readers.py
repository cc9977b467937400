"""Which folders of a cache are being read. Each reading process has a file that lists them, locked while it lives.

The kernel drops the lock when the process ends, however it ends. So no mark outlives its reader, and no clock decides.
"""

import fcntl
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

GUARD = "guard"
"""Name of the file whose lock is held while marks are made or looked at."""


@contextmanager
def reading(folder: Path) -> Iterator[Path]:
    """A new file of marks in `folder`, for as long as the block runs or its process lives."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.reader"
    with ExitStack() as stack:
        with _guarded(folder):  # nobody sees it before it is locked
            file = stack.enter_context(path.open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        stack.callback(path.unlink, missing_ok=True)
        yield path


def mark(path: Path, location: str) -> None:
    """Add a location to a reader's file, before it is read."""
    with _guarded(path.parent), path.open("a") as file:
        file.write(f"{location}\n")


@contextmanager
def marked(folder: Path) -> Iterator[set[str]]:
    """The locations that living readers have marked; while the block runs no other is marked."""
    folder.mkdir(parents=True, exist_ok=True)
    with _guarded(folder):
        yield {location for path in folder.glob("*.reader") for location in _marks(path)}


def _marks(path: Path) -> list[str]:
    """What a reader has marked; the file of one that has died goes."""
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
