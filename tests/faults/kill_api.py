"""SIGKILL to an API process during a POST. The client repeats the request at another API process on the same home."""

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from testing.service import Service, free_port
from tests.faults import client
from tests.faults.checker import DOUBLED, LOST, Finding
from tests.faults.lab import PAIRS
from tests.faults.result import Fault, Result

PROCESSES = 4
"""API processes: one is never killed, and the others start one after the other, so that one is always ready."""
ANSWERED_SECONDS = 60.0
LONGEST_POST_SECONDS = 0.05


def kill(lab, count):
    halves = [count - count // 2, count // 2]
    return sum(
        (_kill(lab, half, pair) for half, pair in zip(halves, PAIRS, strict=True)),
        Result(bound_seconds=ANSWERED_SECONDS),
    )


def _kill(lab, count, pair):
    result = Result(bound_seconds=ANSWERED_SECONDS)
    with lab.world(pair, workers=1) as world, ThreadPoolExecutor(PROCESSES) as starting:
        others = [_another(world) for _ in range(PROCESSES - 1)]
        try:
            waiting = deque((api, starting.submit(api.start_api)) for api in others)
            while result.injected < count:
                victim, ready = waiting.popleft()
                ready.result()
                result.injected += _during_a_post(world, victim, result)
                waiting.append((victim, starting.submit(victim.start_api)))
            for _, ready in waiting:
                ready.result()
        finally:
            for api in others:
                api.stop()
        result.findings += world.settle()
    return result


def _another(world):
    """Return one more API process on this home. It is not started yet."""
    port = free_port()
    return Service(world.home, port, {**world.service.environment, "EMBEDREEL_PORT": str(port)})


def _during_a_post(world, victim, result):
    """Send a POST and kill the process meanwhile. Returns 1 if the process was killed before its answer, else 0."""
    name = world.new_name()
    body, answers = world.body(name), []
    first = threading.Thread(target=lambda: answers.append(_try(victim.port, body, name)))
    first.start()
    time.sleep(world.rng.uniform(0, LONGEST_POST_SECONDS))
    at = time.monotonic()
    victim.api.kill()
    victim.api.wait()
    first.join()
    # The same request is sent twice at a running process: each answer must name the same run.
    again = [client.insist([world.port], "POST", "/v1/runs", body, key=name)[0]]
    took = time.monotonic() - at
    again.append(client.insist([world.port], "POST", "/v1/runs", body, key=name)[0])
    _compare(world, name, [answer for answer in (*answers, *again) if answer], result)
    if answers[0]:
        return 0
    result.recovery.append(took)
    return 1


def _try(port, body, key):
    try:
        return client.ask(port, "POST", "/v1/runs", body, key=key)
    except OSError:
        return None


def _compare(world, name, answers, result):
    if wrong := [answer.status for answer in answers if answer.status != 202]:
        result.findings.append(Finding(LOST, f"{name} was answered {wrong}"))
        return
    ids = {answer.body["id"] for answer in answers}
    world.accepted |= dict.fromkeys(ids, name)
    if len(ids) > 1:
        result.findings.append(Finding(DOUBLED, f"one Idempotency-Key was answered with {sorted(ids)}"))


FAULTS = (
    Fault(
        name="kill-api",
        title="API killed during POST",
        promise="one run for each Idempotency-Key",
        in_ci=10,
        in_full=300,
        run=kill,
    ),
)
