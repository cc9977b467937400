"""A process is identified by its id and its start time, because ids are reused."""

import subprocess
import sys
import time

from tests.faults import processes
from tests.faults.audit import Attempt
from tests.faults.world import World


def test_started__is_a_time_of_the_monotonic_clock():
    before = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert before - 0.1 <= processes.started(process.pid) <= time.monotonic() + 0.1
        process.communicate(b"\n")
    assert processes.started(process.pid) is None


def test_children__ignore_a_later_process_with_the_same_id(tmp_path, monkeypatch):
    world = World.__new__(World)
    world.home = tmp_path
    monkeypatch.setattr(processes, "wait_gone", lambda pids, **_seconds: pids)
    command = [sys.executable, "-c", "input()"]
    before = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={"EMBEDREEL_HOME": str(tmp_path)}) as process:
        while not processes.of_home(tmp_path):
            time.sleep(0.01)
        for began_at, expected in ((before - 1, set()), (time.monotonic() + 1, {process.pid})):
            attempt = Attempt("run", "score", "maker", process.pid, 1, began_at, None)
            monkeypatch.setattr(World, "attempts", lambda _world, attempt=attempt: [attempt])
            assert world._children() == expected  # noqa: SLF001 - what it is about
        process.communicate(b"\n")
