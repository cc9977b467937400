"""Thousands of runs are queued before two workers start. Each run is made once.

All runs share one training, so most artifacts exist already, and only the film is drawn. The queue is tested.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.faults import client
from tests.faults.checker import DOUBLED, Finding
from tests.faults.lab import PAIRS
from tests.faults.result import Fault, Result

WORKERS = 2
FRAMES = 2
POSTERS = 4
SECONDS_A_RUN = 2.0
"""Time limit for a slow machine, seconds. The measured time is printed."""

VARIABLES = {
    "EMBEDREEL_MAX_RUNS_IN_FLIGHT": "0",
    "EMBEDREEL_RATE_LIMIT": "0",
    "EMBEDREEL_STUB_SECONDS": "0.01",
    "EMBEDREEL_WORKER_CONCURRENCY": "3",
    "EMBEDREEL_LEASE_SECONDS": "30",  # no process is killed here, so a task that starts twice is doubled
    "EMBEDREEL_RENEW_SECONDS": "5",
}


def drain(lab, count):
    halves = [count - count // 2, count // 2]
    return sum((_drain(lab, half, pair) for half, pair in zip(halves, PAIRS, strict=True)), Result())


def _drain(lab, count, pair):
    with lab.world(pair, workers=0, **VARIABLES) as world:
        with ThreadPoolExecutor(POSTERS) as posters:
            list(posters.map(lambda _: _queue(world), range(count)))
        assert world.unfinished() == count
        at = time.monotonic()
        world.start_workers(WORKERS)
        world.wait(seconds=120 + SECONDS_A_RUN * count)
        took = time.monotonic() - at
        findings = [*_started_twice(world), *world.settle()]
    return Result(injected=count, findings=findings, note=f"{count:,} on {pair} in {took:.0f} s")


def _queue(world):
    name = world.new_name()
    body = world.body(name, frames=FRAMES, mode="inline") | {"train": {"steps": 10, "seed": 0}}
    answer, _ = client.insist([world.port], "POST", "/v1/runs", body, key=name)
    assert answer.status == 202, (answer.status, answer.body)
    world.accepted[answer.body["id"]] = name


def _started_twice(world):
    events = world.rows.of("SELECT run_id, data FROM events WHERE type = 'stage.started'")
    started = Counter((event["run_id"], event["data"]["stage"]) for event in events)
    return [Finding(DOUBLED, f"{stage} of {run} was started {n} times") for (run, stage), n in started.items() if n > 1]


FAULTS = (
    Fault(
        name="drain",
        title="runs queued before a worker comes",
        promise="all drain, each once",
        in_ci=40,
        in_full=10_000,
        run=drain,
    ),
)
