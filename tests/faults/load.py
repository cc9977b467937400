"""Many clients that post and poll, and many event streams that disconnect and resume. testing/clients.py has both.

Times are printed and not asserted, because the machine may be shared. No request may be refused, and no event may be
missing or out of order.
"""

from bench import load
from tests.faults.checker import LEFT, LOST, Finding
from tests.faults.result import Fault, Result

CLIENTS = 50
FRAMES = 20
STREAMS_A_RUN = 10
EXPECTED = {"POST 202", "GET 200", "GET 304"}
VARIABLES = {"EMBEDREEL_MAX_RUNS_IN_FLIGHT": "0", "EMBEDREEL_RATE_LIMIT": "0"}


def poll(lab, seconds):
    result = Result()
    with lab.world(workers=1, **VARIABLES) as world:
        seen = load.poll(world.port, clients=CLIENTS, seconds=seconds, frames=FRAMES)
    result.findings += [Finding(LEFT, f"{error}") for error in seen["errors"]]
    result.findings += [Finding(LEFT, f"answered {status}") for status in set(seen["statuses"]) - EXPECTED]
    result.injected = seconds
    times = ", ".join(f"{method} {seen['milliseconds'][method]['p95']:.0f} ms" for method in ("GET", "POST"))
    result.note = f"{sum(seen['statuses'].values()):,} requests, 95th percentile {times}"
    return result


def follow(lab, count):
    """Read the event streams while the runs are running. Every third stream disconnects once."""
    runs = max(1, count // STREAMS_A_RUN)
    with lab.world(workers=1, EMBEDREEL_WORKER_CONCURRENCY="2", **VARIABLES) as world:
        seen = load.follow(world.port, streams=count, runs=runs, frames=FRAMES)
    wrong = [Finding(LOST, what) for what in seen["wrong"]]
    note = f"{seen['events']:,} events of {runs} runs; every third stream broke off and came back with Last-Event-ID"
    return Result(injected=seen["complete"] + len(wrong), findings=wrong, note=note)


FAULTS = (
    Fault(
        name="clients",
        title=f"{CLIENTS} clients that post and poll",
        promise="no error",
        in_ci=15,
        in_full=600,
        run=poll,
        unit=" s",
    ),
    Fault(
        name="streams",
        title="event streams, a third of them cut",
        promise="complete, in order, resumable",
        in_ci=100,
        in_full=300,
        run=follow,
    ),
)
