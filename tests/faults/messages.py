"""A broker that delivers each message three times, in random order, or not at all."""

import time

from tests.faults.brokers import RedisMessages, SqliteMessages
from tests.faults.checker import DOUBLED, LOST, Finding
from tests.faults.lab import EMBEDDED, PAIRS
from tests.faults.result import Fault, Result

WORKERS = 2
BATCH = 10
RUN_SECONDS = 30.0
QUIET_SECONDS = 2.0


def disturb(lab, count):
    halves = [count - count // 2, count // 2]
    return sum(
        (_disturb(lab, half, pair) for half, pair in zip(halves, PAIRS, strict=True)), Result(bound_seconds=RUN_SECONDS)
    )


def _disturb(lab, count, pair):
    result = Result(bound_seconds=RUN_SECONDS)
    with lab.world(pair, workers=0, EMBEDREEL_STUB_SECONDS="0") as world:
        while result.injected < count:
            names = [world.submit(frames=2, mode="inline") for _ in range(min(BATCH, count - result.injected))]
            result.injected += _disturb_messages(lab, world, pair, expected=len(names))
            workers = world.start_workers(WORKERS)
            at = time.monotonic()  # from here on, workers can receive messages
            _wait_begun(world, names, result, at)
            _wait_ended(world)
            for worker in workers:  # so that the next messages stay in the broker, where they can be changed
                worker.terminate()
            for worker in workers:
                worker.wait(30)
                world.workers.remove(worker)
        result.findings += [*world.settle(), *_run_twice(world)]
    return result


def _disturb_messages(lab, world, pair, *, expected):
    """Triple a third of the messages, drop a third, and shuffle all of them.

    Returns:
        The number of runs that the messages were for.
    """
    broker = SqliteMessages(world.home / "broker.db") if pair == EMBEDDED else RedisMessages(lab.redis.client())
    met = []

    def change(messages):
        met[:] = messages
        copies = lab.rng.choices([0, 1, 3], k=len(messages))
        changed = [message for message, times in zip(messages, copies, strict=True) for _ in range(times)]
        lab.rng.shuffle(changed)
        return changed

    _wait_for_messages(broker, expected)
    broker.replace(change)
    return min(len(met), expected)  # wake-ups that the sweep sent again are not counted


def _wait_for_messages(broker, expected):
    """Wait for the messages: the API sends them in a thread of its own, and sends fewer if there is a backlog."""
    seen, moved_at = 0, time.monotonic()
    while seen < expected and time.monotonic() - moved_at < QUIET_SECONDS:
        time.sleep(0.1)
        if (now := _waiting(broker)) != seen:
            seen, moved_at = now, time.monotonic()


def _waiting(broker):
    seen = []

    def keep(messages):
        seen[:] = messages
        return messages

    broker.replace(keep)
    return len(seen)


def _wait_begun(world, names, result, at):
    waiting = set(names)
    while waiting and time.monotonic() - at < 2 * RUN_SECONDS:
        began = {one.run: one.began_at for one in world.attempts()}
        result.recovery += [began[name] - at for name in waiting & began.keys()]
        waiting -= began.keys()
        time.sleep(0.1)
    result.findings += [Finding(LOST, f"{name} was not begun") for name in waiting]


def _wait_ended(world):
    deadline = time.monotonic() + 60
    while world.unfinished() and time.monotonic() < deadline:
        time.sleep(0.1)


def _run_twice(world):
    """Return a finding for each task with several attempts. No process was killed, so each task has one attempt."""
    seen = set()
    for one in world.attempts():
        if (one.run, one.stage) in seen:
            yield Finding(DOUBLED, f"{one.stage} of {one.run} was run more than once")
        seen.add((one.run, one.stage))


FAULTS = (
    Fault(
        name="messages",
        title="messages tripled, shuffled, dropped",
        promise="nothing runs twice; dropped ones run within 30 s",
        in_ci=20,
        in_full=1000,
        run=disturb,
    ),
)
