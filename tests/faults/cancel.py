"""Cancel runs at random times. Some children ignore SIGTERM."""

import time

from tests.faults import client, processes
from tests.faults.checker import LEFT, Finding
from tests.faults.database import TERMINAL
from tests.faults.lab import PAIRS
from tests.faults.result import Fault, Result

WORKERS = 2
PLACES = 3
GONE_SECONDS = 25.0
STUBBORN_SHARE = 20


def cancel(lab, count):
    halves = [count - count // 2, count // 2]
    return sum(
        (_cancel(lab, half, pair) for half, pair in zip(halves, PAIRS, strict=True)), Result(bound_seconds=GONE_SECONDS)
    )


def _cancel(lab, count, pair):
    result = Result(bound_seconds=GONE_SECONDS)
    result.note = f"one in {STUBBORN_SHARE} is a child that ignores SIGTERM and is killed after 20 s of grace"
    with lab.world(pair, workers=WORKERS, EMBEDREEL_WORKER_CONCURRENCY=str(PLACES)) as world:
        world.may_end = dict.fromkeys(("run", "stubborn"), ("cancelled", "succeeded"))
        waiting = {}
        for number in range(count):
            name = world.submit("run" if number % STUBBORN_SHARE else "stubborn", frames=8)
            time.sleep(lab.rng.uniform(0, 1.5) if name.startswith("run") else 1.5)
            waiting[name] = time.monotonic()
            client.insist([world.port], "POST", f"/v1/runs/{world.run_id(name)}/cancel")
            _look(world, waiting, result)
        while waiting:
            time.sleep(0.1)
            _look(world, waiting, result)
        result.findings += world.settle()
        result.injected = count
    return result


def _look(world, waiting, result):
    """Record the runs that have ended and have no process, and the runs that should have ended."""
    ended = {row["name"] for row in world.rows.of(f"SELECT name FROM runs WHERE status IN {TERMINAL}")}
    at_work = {one.run for one in world.attempts() if one.run in waiting and processes.living({one.pid})}
    for name in [name for name in waiting if name in ended - at_work]:
        result.recovery.append(time.monotonic() - waiting.pop(name))
    for name in [name for name, at in waiting.items() if time.monotonic() - at > GONE_SECONDS]:
        waiting.pop(name)
        result.findings.append(Finding(LEFT, f"{name} has not stopped {GONE_SECONDS:.0f} s after it was cancelled"))


FAULTS = (
    Fault(
        name="cancel",
        title="cancel at random moments",
        promise="child gone and run ended within 25 s",
        in_ci=12,
        in_full=300,
        run=cancel,
    ),
)
