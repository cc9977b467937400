"""Processes of this machine as /proc shows them: whose they are, and whether they are gone."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def of_home(home):
    """Ids of the processes of the service on this home folder, zombies left out."""
    mark = f"EMBEDREEL_HOME={home}".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0") and not _zombie(process):
                found.add(int(process.name))
    return found


def tree(pid):
    """The process and all that descend from it."""
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
    """Those that are still there."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and not _zombie(Path(f"/proc/{pid}"))}


def started(pid):
    """When a process was started, seconds of the machine's monotonic clock; None if it is gone."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return None


def wait_gone(pids, *, seconds):
    """Those that are still there after so long."""
    deadline = time.monotonic() + seconds
    while (left := living(pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def send(pids, number):
    """Signal each one that is there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def end(pids):
    """End what should have ended by itself."""
    send(pids, signal.SIGKILL)


def _zombie(process):
    with suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
