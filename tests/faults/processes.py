"""Processes of this machine, read from /proc: their home folder, and whether they still run."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def of_home(home):
    """Return the ids of the processes of the service on this home folder, without zombies."""
    mark = f"EMBEDREEL_HOME={home}".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0") and not _zombie(process):
                found.add(int(process.name))
    return found


def tree(pid):
    """Return the id of the process and of all its descendants."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    found, fresh = {pid}, {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def living(pids):
    """Return the ids of the processes that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and not _zombie(Path(f"/proc/{pid}"))}


def started(pid):
    """Return the start time of a process in seconds of the machine's monotonic clock, or None if it has ended."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return None


def wait_gone(pids, *, seconds):
    """Wait until the processes have ended, for at most `seconds`. Returns the ids of those that still run."""
    deadline = time.monotonic() + seconds
    while (left := living(pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def send(pids, number):
    """Send the signal to each process that still runs."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end(pids):
    """Kill the processes."""
    send(pids, signal.SIGKILL)


def _zombie(process):
    with suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
