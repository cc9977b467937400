"""SIGKILL to all processes of a worker, its supervisor and its fork server, while it runs a task."""

import time

from tests.faults.lab import EMBEDDED, SERVERS
from tests.faults.result import Fault, Result
from tests.faults.world import RECOVERY_SECONDS

RUNS = 3
WORKERS = 4
SURVIVORS = 2
"""Workers that are ready beside the victim: recovery is measured, not the start of a worker."""


def kill(lab, count, pair):
    with lab.world(pair, workers=WORKERS, EMBEDREEL_MAX_ATTEMPTS="1000") as world:
        disturbed, result = [], Result(bound_seconds=RECOVERY_SECONDS)
        with world.stream(runs=RUNS):
            while result.injected < count:
                time.sleep(lab.rng.uniform(0.05, 0.6))
                victim = lab.rng.choice(world.workers)
                if not world.claimed_by(victim) or len(world.ready() - {victim.pid}) < SURVIVORS:
                    continue
                at = time.monotonic()
                world.service.kill_worker(victim)
                met = world.claimed_by(victim)
                world.service.start_worker()
                disturbed += [(at, victim.pid, *stage) for stage in met]
                result.injected += bool(met)
        result.findings += world.settle()
        result.recovery, late = world.recovered(disturbed)
        result.findings += late
        return result


FAULTS = tuple(
    Fault(
        name=f"kill-worker-{slug}",
        title=f"worker group `kill -9`, {pair}",
        promise="nothing lost, nothing doubled; p95 recovery within lease + 10 s",
        in_ci=10,
        in_full=200,
        run=lambda lab, count, pair=pair: kill(lab, count, pair),
    )
    for slug, pair in (("embedded", EMBEDDED), ("servers", SERVERS))
)
