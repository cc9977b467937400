import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from worker import watchdog
from worker.watchdog import Watchdog


@pytest.fixture
def clock(monkeypatch):
    """The clock of the watchdog, and the CPU seconds and bytes of the child's processes."""
    seen = SimpleNamespace(now=1000.0, totals=(0.0, 0))
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: seen.now)
    monkeypatch.setattr(watchdog, "totals", lambda _pid: seen.totals)
    return seen


def after(clock, dog, seconds, *, cpu=0.0, moved=0):
    """Return what the watchdog reports after the child has used this time and CPU."""
    clock.now += seconds
    clock.totals = clock.totals[0] + cpu, clock.totals[1] + moved
    return dog.complaint()


def watching(clock):
    dog = Watchdog(1, 1800.0, _reported_at=clock.now)
    assert dog.complaint() == ""
    return dog


@pytest.mark.parametrize("work", [{"cpu": 18.0}, {"moved": 1 << 20}])
def test_watchdog__a_working_child_continues(clock, work):
    dog = watching(clock)
    assert [after(clock, dog, 1000, **work) for _ in range(9)] == [""] * 9


def test_watchdog__small_amounts_of_work_add_up(clock):
    dog = watching(clock)
    assert [after(clock, dog, 100, cpu=2.0) for _ in range(50)] == [""] * 50


def test_watchdog__reports_an_idle_child(clock):
    dog = watching(clock)
    assert [after(clock, dog, 300, cpu=0.01, moved=100) for _ in range(6)] == [""] * 6
    assert after(clock, dog, 1) == "it showed no progress and did nothing for 1800 s"
    dog.reported()
    assert dog.complaint() == ""


def test_watchdog__reports_a_child_without_progress_for_half_a_day(clock):
    dog = watching(clock)
    assert [after(clock, dog, 1800, cpu=900.0) for _ in range(24)] == [""] * 24
    assert after(clock, dog, 1, cpu=900.0) == "it showed no progress for 43201 s, although it was busy"


def test_watchdog__the_end_of_a_process_is_not_work(clock):
    dog = watching(clock)
    after(clock, dog, 100, cpu=500.0)
    assert after(clock, dog, 900, cpu=-400.0) == ""
    assert "did nothing" in after(clock, dog, 901)


def test_totals__of_a_child_and_its_descendants():
    work = "sum(range(20_000_000)); print(); input()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    with subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        cpu, moved = watchdog.totals(child.pid)
        child.stdin.close()
    assert cpu > 0.1, "the work of the grandchild"
    assert moved > 0
    assert watchdog.totals(child.pid) == (0.0, 0)
    assert watchdog.totals(os.getpid())[0] > 0
