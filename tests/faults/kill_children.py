"""SIGKILL to one process: the child of a task, or a supervisor. The children of a killed supervisor end when they
detect it.

A fifth of the faults are tasks whose child always ends. Such a task must fail after three attempts, with the reason.
"""

import os
import signal
import time
from collections import Counter

from tests.faults import processes
from tests.faults.checker import DOUBLED, LEFT, LOST, Finding
from tests.faults.result import Fault, Result
from tests.faults.world import RECOVERY_SECONDS

WORKERS = 3
ATTEMPTS = 3
ORPHAN_SECONDS = 5.0


def kill(lab, count):
    result = Result(bound_seconds=RECOVERY_SECONDS)
    with lab.world(workers=WORKERS, EMBEDREEL_MAX_ATTEMPTS=str(ATTEMPTS)) as world:
        world.may_end = {"exit": ("failed",)}
        hits, disturbed = Counter(), []
        with world.stream(runs=WORKERS):
            doomed = [world.submit("exit") for _ in range(count // 5)]
            world.wait(doomed)  # no other fault may kill their children
            while len(disturbed) < count - len(doomed):
                time.sleep(lab.rng.uniform(0.05, 0.4))
                kill_one = lab.rng.choice([_kill_child, _kill_supervisor])
                disturbed += kill_one(world, hits, result)
        result.findings += world.settle()
        result.recovery, late = world.recovered(disturbed)
        result.findings += [*late, *_uncapped(world, doomed)]
        result.injected = len(disturbed) + len(doomed)
    result.note = (
        f"{len(doomed)} of them stages whose child always dies: failed after {ATTEMPTS} attempts, with the reason"
    )
    return result


def _at_work(world, hits):
    """Return the attempts that are running, without tasks whose child always ends."""
    alive = [one for one in world.attempts() if one.ended_at is None and processes.living({one.pid})]
    return [one for one in alive if hits[one.run, one.stage] < ATTEMPTS - 2]


def _kill_child(world, hits, result):
    if not (under_way := _at_work(world, hits)):
        return []
    victim = world.rng.choice(under_way)
    at = time.monotonic()
    try:
        os.kill(victim.pid, signal.SIGKILL)
    except ProcessLookupError:
        return []
    processes.wait_gone({victim.pid}, seconds=1)
    if any(one.maker == victim.maker and one.ended_at for one in world.attempts()):
        return []  # it had ended
    hits[victim.run, victim.stage] += 1
    return [(at, None, victim.run, victim.stage)]


def _kill_supervisor(world, hits, result):
    victim = world.rng.choice(world.workers)
    family = processes.tree(victim.pid)
    claimed = world.claimed_by(victim)
    if not claimed or any(hits[stage] >= ATTEMPTS - 2 for stage in claimed):
        return []
    at = time.monotonic()
    victim.kill()
    victim.wait()
    met = world.claimed_by(victim)
    world.workers.remove(victim)
    world.service.start_worker()
    hits.update(met)
    left = processes.wait_gone(family, seconds=ORPHAN_SECONDS)
    result.findings += [Finding(LEFT, f"process {pid}, {ORPHAN_SECONDS:.0f} s after its supervisor") for pid in left]
    return [(at, victim.pid, *stage) for stage in met]


def _uncapped(world, doomed):
    tries = Counter(one.run for one in world.attempts())
    for name in doomed:
        error = world.rows.of("SELECT error FROM runs WHERE name = ?", name)[0]["error"] or {}
        if tries[name] != ATTEMPTS:
            yield Finding(DOUBLED if tries[name] > ATTEMPTS else LOST, f"{name} was tried {tries[name]} times")
        if error.get("type") != "stage-lost" or "exit status 7" not in error.get("detail", ""):
            yield Finding(LOST, f"{name} does not say why it failed: {error}")


FAULTS = (
    Fault(
        name="kill-child",
        title="child or supervisor killed alone",
        promise="no orphan after 5 s; three attempts, then failed with the reason",
        in_ci=12,
        in_full=100,
        run=kill,
    ),
)
