"""A full disk, and a disk with I/O errors. A small tmpfs is full where it can be mounted, else calls raise ENOSPC. EIO
is always raised by calls.

Runs may wait, or fail with a clear error. The database stays intact. After the disk has room again, a retry of the
failed runs succeeds.
"""

import shutil
import subprocess
import time
from contextlib import contextmanager, suppress

from tests.faults import client
from tests.faults.checker import LOST, Finding
from tests.faults.result import Fault, Result
from tests.faults.world import RECOVERY_SECONDS

WORKERS = 2
TROUBLE_SECONDS = 2.0
TMPFS_MIB = 24
CLEAR = {"storage-unavailable", "stage-lost"}
MAIN = ("-m", "tests.faults.failing_disk")


def disturb(lab, count):
    """A third of the faults are I/O errors."""
    failing = count // 3
    with _small_disk(lab) as disk:
        full = _full(lab, count - failing, disk) if disk else _failing(lab, count - failing, "ENOSPC")
    tmpfs = f"a tmpfs of {TMPFS_MIB} MiB with database, broker and store"
    full.note = f"full: {tmpfs if disk else 'calls that raise ENOSPC'}"
    return full + _failing(lab, failing, "EIO")


@contextmanager
def _small_disk(lab):
    """Return a folder on its own file system, or None if this machine cannot mount one."""
    folder = lab.new_folder("small-disk")
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={TMPFS_MIB}m", "faults", str(folder)]
    mounted = mount and subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run([shutil.which("umount"), "--lazy", str(folder)], check=True)


def _full(lab, count, disk):
    with lab.world(
        workers=WORKERS, home=disk / "home", EMBEDREEL_MAX_ATTEMPTS="5", EMBEDREEL_MIN_FREE_BYTES="0"
    ) as world:
        return _disturb(world, count, begin=lambda: _fill(disk), end=(disk / "ballast").unlink)


def _fill(disk):
    """Fill the file system completely."""
    with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with (disk / "ballast").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0")


def _failing(lab, count, error):
    trouble = lab.new_folder(f"trouble-{error}") / "now"
    variables = {"FAULTS_DISK_FAILS": str(trouble), "EMBEDREEL_MAX_ATTEMPTS": "5"}
    with lab.world(workers=0, **variables) as world:
        for _ in range(WORKERS):
            world.service.start_worker(*MAIN, "worker")
        return _disturb(world, count, begin=lambda: trouble.write_text(error), end=trouble.unlink)


def _disturb(world, count, *, begin, end):
    result = Result(bound_seconds=RECOVERY_SECONDS)
    for _ in range(count):
        names = [world.submit() for _ in range(2 * WORKERS)]
        _wait_begun(world, names)
        begin()
        time.sleep(TROUBLE_SECONDS)
        end()
        at = time.monotonic()
        first = world.submit()
        result.findings += _retry_failed(world, [*names, first])
        result.recovery.append(_ended(world, first) - at)
        result.injected += 1
    result.findings += world.settle()
    return result


def _wait_begun(world, names):
    deadline = time.monotonic() + 60
    while not {one.run for one in world.attempts()} & set(names) and time.monotonic() < deadline:
        time.sleep(0.05)


def _retry_failed(world, names):
    """Retry runs until none has failed. Each error must name its cause."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows = [row for row in world.rows.of("SELECT id, name, status, error FROM runs") if row["name"] in names]
        for row in rows:
            if row["status"] == "failed":
                if row["error"]["type"] not in CLEAR:
                    yield Finding(LOST, f"{row['name']} failed unclearly: {row['error']}")
                client.insist([world.port], "POST", f"/v1/runs/{row['id']}/retry")
        if all(row["status"] == "succeeded" for row in rows):
            return
        time.sleep(0.2)


def _ended(world, name):
    ends = [one.ended_at for one in world.attempts() if (one.run, one.stage) == (name, "render") and one.ended_at]
    return ends[-1] if ends else time.monotonic()


FAULTS = (
    Fault(
        name="disk",
        title="disk full, I/O errors",
        promise="clear failure, database intact, recovers",
        in_ci=4,
        in_full=40,
        run=disturb,
    ),
)
