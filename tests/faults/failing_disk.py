"""`python -m tests.faults.failing_disk worker|api`: the disk fails while the file FAULTS_DISK_FAILS is there.

The file holds the name of the error (`EIO`, `ENOSPC`). It strikes Python's own calls only: opening a file to write,
renaming, making a folder, bringing a file to the disk; SQLite's calls go on as before.
"""

import builtins
import errno
import io
import os
import sys
from pathlib import Path

_open, _is_there = io.open, os.path.exists


def fail_if_told(path=None):
    """Raise the error, if there is trouble and it is about the service's home."""
    trouble = os.environ["FAULTS_DISK_FAILS"]
    if _is_there(trouble) and (path is None or str(path).startswith(os.environ["EMBEDREEL_HOME"])):
        with _open(trouble) as file:
            number = getattr(errno, file.read().strip())
        raise OSError(number, os.strerror(number), None if path is None else str(path))


def install():
    """Put a check before each call that writes."""
    for name in ("rename", "replace", "mkdir"):
        setattr(os, name, _checked(getattr(os, name)))
    sync = os.fsync
    os.fsync = lambda descriptor: (fail_if_told(), sync(descriptor))[1]

    def opening(file, mode="r", *arguments, **options):
        if set(mode) & set("wax+") and not str(file).endswith(".log"):
            fail_if_told(file if isinstance(file, str | Path) else None)
        return _open(file, mode, *arguments, **options)

    builtins.open = io.open = opening


def _checked(call):
    def checked(path, *arguments, **options):
        fail_if_told(path)
        return call(path, *arguments, **options)

    return checked


def main():
    program = sys.argv.pop(1)
    if program == "api":
        from api.__main__ import main as run
    else:
        from testing.worker import main as run
    sys.exit(run())


if os.environ.get("FAULTS_DISK_FAILS"):
    install()  # in the children of the worker, too: they import this module as their main one

if __name__ == "__main__":
    main()
