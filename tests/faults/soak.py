"""Small runs, polls, event streams and deletions for a long time. The resource use of the service must not grow.

Every few seconds, the memory of the processes, the number of rows of each table and the files of the data folder are
recorded. After a third of the time, which is a warm-up, the trend of each number, extrapolated to the remaining time,
must be small.
"""

import itertools
import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path

from bench.service import resident_bytes
from tests.faults import client, processes
from tests.faults.checker import LEFT, LOST, Finding
from tests.faults.result import Fault, Result

RUNS = 4
SAMPLES = 60
MEBIBYTE = 1 << 20
SHARE = 0.1
BOUNDS = {"memory": 12 * MEBIBYTE, "descriptors": 8, "threads": 4, "rows": 60, "files": 60, "broker": MEBIBYTE}
"""Allowed growth, or a tenth of the median if that is larger: running runs have rows and files."""

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
OF_RUNS = ("runs", "tasks", "events", "artifacts")
VARIABLES = {"EMBEDREEL_STUB_AUDIT": "", "EMBEDREEL_STUB_SECONDS": "0.01", "EMBEDREEL_RATE_LIMIT": "0"}


def soak(lab, seconds):
    with lab.world(workers=1, **VARIABLES) as world:
        user = _User(world)
        samples, done = [], threading.Event()
        users = [threading.Thread(target=user.use, args=(done,)) for _ in range(RUNS)]
        for thread in users:
            thread.start()
        began = time.monotonic()
        while (at := time.monotonic() - began) < seconds:
            samples.append((at, _sample(world)))
            time.sleep(seconds / SAMPLES)
        done.set()
        for thread in users:
            thread.join()
        findings = [*user.findings, *_left(world)]
    trends = _trends([sample for sample in samples if sample[0] > seconds / 3], seconds * 2 / 3)
    findings += [Finding(LEFT, f"{name} grows: {text}") for name, (text, small) in trends.items() if not small]
    text = ", ".join(f"{name} {text}" for name, (text, _) in trends.items() if not name.startswith("rows"))
    note = f"{user.runs:,} runs made and deleted; growth after the first third: {text}"
    return Result(injected=seconds, findings=findings, note=note)


class _User:
    """Submits a run, polls it, follows its events and deletes it; then repeats this."""

    def __init__(self, world):
        self.findings = []
        self._world = world
        self._numbers = itertools.count()
        self.runs = 0

    def use(self, done):
        while not done.is_set():
            try:
                self._one()
                self.runs += 1
            except (OSError, AssertionError) as error:
                self.findings.append(Finding(LEFT, repr(error)))
                return

    def _one(self):
        # Without an Idempotency-Key, because its row is kept for a day.
        body = self._world.body(f"run-{next(self._numbers)}", frames=3)
        path = f"/v1/runs/{self._ask('POST', '/v1/runs', 202, body)['id']}"
        deadline = time.monotonic() + 120
        while (run := self._ask("GET", path, 200))["status"] != "succeeded":
            assert run["status"] in {"queued", "running"}, run
            assert time.monotonic() < deadline, run
            time.sleep(0.1)
        stream = self._ask("GET", f"{path}/stream", 200)
        assert stream.count(b"run.succeeded"), stream
        self._ask("DELETE", path, 204)

    def _ask(self, method, path, status, body=None):
        answer = client.ask(self._world.port, method, path, body, timeout=60)
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer.body


def _sample(world):
    """Return numbers by name. The first word of a name is the quantity."""
    seen = {}
    worker = world.workers[0].pid
    children = {pid for pid in processes.tree(worker) if _parent(pid) == worker}
    for name, pids in (("API", {world.service.api.pid}), ("worker", {worker}), ("fork server", children)):
        living = [pid for pid in pids if processes.living({pid})]
        seen[f"memory of {name}"] = sum(resident_bytes(pid) for pid in living)
        seen[f"descriptors of {name}"] = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in living)
        seen[f"threads of {name}"] = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in living)
    for row in world.rows.of(TABLES):
        seen[f"rows of {row['name']}"] = world.rows.value(f'SELECT count(*) FROM "{row["name"]}"')
    seen["files in the data folder"] = sum(path.is_file() for path in world.home.rglob("*"))
    seen["broker's file"] = (world.home / "broker.db").stat().st_size
    return seen


def _parent(pid):
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def _trends(samples, seconds):
    """Return for each name: the growth in this number of seconds, a text, and whether the growth is small."""
    trends = {}
    for name in samples[0][1]:
        values = [(at, sample[name]) for at, sample in samples]
        growth = slope(values) * seconds
        unit = name.split()[0].removesuffix("'s")
        small = growth <= max(BOUNDS[unit], SHARE * statistics.median(value for _, value in values))
        shown = f"{growth / MEBIBYTE:+.1f} MiB" if unit in {"memory", "broker"} else f"{growth:+.1f}"
        trends[name] = (shown, small)
    return trends


def slope(values):
    """Return the Theil-Sen slope: the median of the slopes of all pairs, which a few outliers do not change."""
    pairs = itertools.combinations(values, 2)
    return statistics.median((second - first) / (later - at) for (at, first), (later, second) in pairs)


def _left(world):
    """Return findings about rows and files that remain after all runs were deleted."""
    for table in OF_RUNS:
        if rows := world.rows.value(f"SELECT count(*) FROM {table}"):
            yield Finding(LEFT, f"{rows} rows in {table} after all runs were deleted")
    for path in world.store.glob("objects/*/*"):
        yield Finding(LEFT, f"{path.relative_to(world.store)} after all runs were deleted")
    if (damage := world.rows.value("PRAGMA integrity_check")) != "ok":
        yield Finding(LOST, f"the database is damaged: {damage}")


FAULTS = (
    Fault(
        name="soak",
        title="soak: runs made, followed and deleted",
        promise="nothing grows",
        in_ci=0,
        in_full=1200,
        run=soak,
        unit=" s",
    ),
)
