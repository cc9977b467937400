"""`python -m tests.faults.failing_disk worker|api`: the disk fails while the file FAULTS_DISK_FAILS exists.

The file contains the name of the error, `EIO` or `ENOSPC`. Only calls of Python fail: open for writing, rename, mkdir
and fsync. Calls of SQLite are unchanged.
"""

import builtins
import errno
import io
import os
import sys
from pathlib import Path

_open, _is_there = io.open, os.path.exists


def raise_if_failing(path=None):
    """Raise the error if the file exists and the path is in the service's home."""
    trouble = os.environ["FAULTS_DISK_FAILS"]
    if _is_there(trouble) and (path is None or str(path).startswith(os.environ["EMBEDREEL_HOME"])):
        with _open(trouble) as file:
            number = getattr(errno, file.read().strip())
        raise OSError(number, os.strerror(number), None if path is None else str(path))


def install():
    """Put the check before each call that writes."""
    for name in ("rename", "replace", "mkdir"):
        setattr(os, name, _checked(getattr(os, name)))
    sync = os.fsync
    os.fsync = lambda descriptor: (raise_if_failing(), sync(descriptor))[1]

    def opening(file, mode="r", *arguments, **options):
        if set(mode) & set("wax+") and not str(file).endswith(".log"):
            raise_if_failing(file if isinstance(file, str | Path) else None)
        return _open(file, mode, *arguments, **options)

    builtins.open = io.open = opening


def _checked(call):
    def checked(path, *arguments, **options):
        raise_if_failing(path)
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
    install()  # also in the children of the worker, which import this module as their main module

if __name__ == "__main__":
    main()
