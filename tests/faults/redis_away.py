"""Redis is killed and restarted later, or flushed, while runs are posted."""

import time

from tests.faults import client
from tests.faults.checker import LOST, Finding
from tests.faults.lab import SERVERS
from tests.faults.result import Fault, Result
from tests.faults.world import RECOVERY_SECONDS

WORKERS = 2
AWAY_SECONDS = 3.0
POST_SECONDS = 5.0


def disturb(lab, count):
    result = Result(bound_seconds=RECOVERY_SECONDS)
    with lab.world(SERVERS, workers=WORKERS) as world:
        with world.stream(runs=2 * WORKERS):
            for index in range(count):
                time.sleep(lab.rng.uniform(1, 2))
                at = time.monotonic()
                if index % 2:
                    lab.redis.client().flushall()
                    posted = [_post(world, result)]
                else:
                    posted = _while_away(lab, world, result)
                result.recovery += [_begun(world, name) - at for name in posted]
                result.injected += 1
        result.findings += world.settle()
    result.note = f"killed and away for {AWAY_SECONDS:.0f} s, or flushed, in turn; each POST meanwhile answered 202"
    return result


def _while_away(lab, world, result):
    lab.redis.stop()
    until = time.monotonic() + AWAY_SECONDS
    posted = [_post(world, result)]
    time.sleep(max(0.0, until - time.monotonic()))
    lab.redis.start()
    return posted


def _post(world, result):
    """Post a run once. It must be accepted although no wake-up can be sent."""
    name = world.new_name()
    answer = client.ask(world.port, "POST", "/v1/runs", world.body(name), key=name)
    if answer.status == 202:
        world.accepted[answer.body["id"]] = name
    if answer.status != 202 or answer.seconds > POST_SECONDS:
        result.findings.append(Finding(LOST, f"POST was answered {answer.status} after {answer.seconds:.1f} s"))
    return name


def _begun(world, name):
    """Return the time when a worker began this run."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if began := [one.began_at for one in world.attempts() if one.run == name]:
            return began[0]
        time.sleep(0.1)
    return deadline


FAULTS = (
    Fault(
        name="redis",
        title="Redis killed, flushed",
        promise="nothing lost; POST still answers 202",
        in_ci=4,
        in_full=40,
        run=disturb,
    ),
)
