"""SIGSTOP to a worker until its lease has expired and another worker has claimed its task; then SIGCONT.

Either all processes of the worker are stopped, like on a paused machine, or only its supervisor, while the child
continues.
"""

import signal
import sqlite3
import time
from contextlib import closing

from core.store.database.session import IDLE_SECONDS
from tests.faults import processes
from tests.faults.checker import DOUBLED, Finding
from tests.faults.lab import PAIRS
from tests.faults.result import Fault, Result
from tests.faults.world import LEASE_SECONDS, RECOVERY_SECONDS

WORKERS = 4
FROZEN_AT_ONCE = 2
BOUND_SECONDS = RECOVERY_SECONDS + FROZEN_AT_ONCE * IDLE_SECONDS
"""PostgreSQL ends an idle transaction after this time. Until then its run is locked. Two may follow each other."""

ARRIVAL_SECONDS = 0.5
"""Time in which a sent commit reaches the server on a busy machine. The lease is longer."""

LONGEST_SECONDS = 3 * BOUND_SECONDS
"""After this time the stopped processes continue in any case. If they then finish their tasks, that is a finding."""


def freeze(lab, count):
    halves = [count - count // 2, count // 2]
    return sum(
        (_freeze(lab, half, pair) for half, pair in zip(halves, PAIRS, strict=True)),
        Result(bound_seconds=BOUND_SECONDS),
    )


def _freeze(lab, count, pair):
    result, disturbed, stale = Result(bound_seconds=BOUND_SECONDS), [], set()
    with lab.world(pair, workers=WORKERS, EMBEDREEL_MAX_ATTEMPTS="1000") as world:
        with world.stream(runs=WORKERS):
            while len(disturbed) < count:
                time.sleep(lab.rng.uniform(0.1, 0.6))
                busy = [worker for worker in world.workers if world.claimed_by(worker)]
                frozen = [_stop(world, victim) for victim in busy[:FROZEN_AT_ONCE]]
                if not any(stages for _, stages in frozen):
                    continue
                met = [stage for _, stages in frozen for stage in stages]
                _wait_until_taken(world, met)
                stale |= {one.maker for one in _at_work(world, met)}
                for family, _ in frozen:
                    processes.send(family, signal.SIGCONT)
                disturbed += met
        result.findings += world.settle()
        result.recovery, late = world.recovered(disturbed)
        result.findings += [*late, *_not_fenced(world, stale)]
        result.injected = len(disturbed)
    return result


def _stop(world, victim):
    """Stop the processes and return the claimed tasks. If there are none, the processes continue at once."""
    family = {victim.pid} if world.rng.random() < 0.5 else processes.tree(victim.pid)
    processes.send(family, signal.SIGSTOP)
    at = time.monotonic()
    time.sleep(ARRIVAL_SECONDS)
    stages = [] if _holds_the_file(world) else world.claimed_by(victim)
    if not stages:
        processes.send(family, signal.SIGCONT)
    return family, [(at, victim.pid, *stage) for stage in stages]


def _holds_the_file(world):
    """Return True if a stopped process has SQLite's write lock. No other process can claim a task then."""
    if not world.rows.sqlite:
        return False
    try:
        with closing(sqlite3.connect(world.rows.url.removeprefix("sqlite:///"), timeout=1)) as file, file:
            file.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    return False


def _wait_until_taken(world, met):
    """Wait until the lease has expired and another worker runs each task."""
    deadline = time.monotonic() + LONGEST_SECONDS
    time.sleep(LEASE_SECONDS + 1)
    while world.recovered(met)[1] and time.monotonic() < deadline:
        time.sleep(0.1)


def _at_work(world, met):
    """Return the last attempt of the stopped workers at each of these tasks."""
    last = {}
    for one in world.attempts():
        for at, victim, run, stage in met:
            if (one.supervisor, one.run, one.stage) == (victim, run, stage) and one.began_at < at:
                last[run, stage] = one
    return last.values()


def _not_fenced(world, stale):
    """Return a finding if the stored artifact of a task was made by its stopped attempt."""
    for row in world.rows.of(
        "SELECT key, kind, location FROM artifacts WHERE kind <> 'embed' AND kind <> 'checkpoint'"
    ):
        folder = world.store / (row["location"] or f"objects/{row['key'][:2]}/{row['key']}")
        if (maker := folder / "maker.txt").is_file() and maker.read_text() in stale:
            yield Finding(DOUBLED, f"{row['kind']} {row['key'][:12]} was published by a worker that had lost its lease")


FAULTS = (
    Fault(
        name="freeze",
        title="frozen (SIGSTOP) past the lease",
        promise="every stale write fenced",
        in_ci=6,
        in_full=60,
        run=freeze,
    ),
)
