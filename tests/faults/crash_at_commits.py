"""A worker or the API is killed immediately before or after one of its commits.

There is one run for each commit, before and after it. The number of the commit rises until a run ends without reaching
it. A full run repeats this, and also kills at the renames that move an artifact to its place. In CI, every second
commit is left out, beginning with the first or the second.
"""

import signal
import threading
import time

from testing.service import Service, free_port
from tests.faults import client
from tests.faults.checker import LOST, Finding
from tests.faults.lab import EMBEDDED, PAIRS, SERVERS
from tests.faults.result import Fault, Result

COMMITS = (("commit", "before"), ("commit", "after"))
RENAMES = (("place", "after"), ("place", "before"))
CRASH_SECONDS = 120.0
FEWEST = {"commit": 10, "place": 5}
"""A run of two frames has more commits and artifacts than this. Fewer crashes mean that commits were missed."""


def crash(lab, count):
    """Run both pairs of servers side by side. One pair crashes before each commit, and the other pair after it;
    repetitions swap the two.
    """
    results = {}

    def work(pair, turn):
        results[pair] = _crash(lab, count, pair, turn)

    threads = [threading.Thread(target=work, args=(pair, turn)) for turn, pair in enumerate(PAIRS)]
    lab.postgres, lab.redis  # noqa: B018 - started before the threads need them
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results[EMBEDDED] + results[SERVERS]


def _crash(lab, count, pair, turn):
    result = Result()
    moments = (COMMITS, RENAMES) if count > 1 else (COMMITS,)
    stride = 1 if count > 1 else 2
    every = "every commit" if stride == 1 else "every second commit"
    result.note = f"before and after {every} of a run, and the commit of its POST"
    with lab.world(pair, workers=0, EMBEDREEL_MAX_ATTEMPTS="1000", EMBEDREEL_STUB_SECONDS="0") as world:
        for repeat in range(count):
            for what, when in (kind[(turn + repeat) % 2] for kind in moments):
                met = _at_each(world, what, when, mode="inline" if repeat % 2 else "offload", stride=stride)
                result.injected += met
                if met * stride < FEWEST[what]:
                    result.findings.append(
                        Finding(LOST, f"only {met} crashes {when} a {what}: the others were not caught")
                    )
            result.injected += sum(_at_post(world, when, result) for when in ("before", "after"))
        world.start_workers(1)
        result.findings += world.settle()
    return result


def _at_each(world, what, when, *, mode, stride):
    """Crash at commits or renames that are `stride` apart. Returns the number of crashes."""
    number, met = world.rng.randint(1, stride), 0
    while True:
        name = world.submit(frames=2, mode=mode)
        mark = world.run_id(name)
        world.service.environment["FAULTS_CRASH"] = f"{what}:{when}:{number}:{mark}"
        worker = world.service.start_worker("-m", "tests.faults.crashing", "worker")
        if not _crashed(world, worker, mark):
            return met
        number, met = number + stride, met + 1


def _crashed(world, worker, run_id):
    """Return True if the worker killed itself before the run ended."""
    deadline = time.monotonic() + CRASH_SECONDS
    while worker.poll() is None:
        if world.rows.value("SELECT status FROM runs WHERE id = ?", run_id) == "succeeded":
            break
        assert time.monotonic() < deadline, world.service.log("worker")[-2000:]
        time.sleep(0.05)
    world.workers.remove(worker)
    if worker.poll() is None:
        time.sleep(0.2)  # the last crash may be immediately after the last commit of the run
    if worker.poll() is None:
        worker.terminate()
    return worker.wait(60) == -signal.SIGKILL


def _at_post(world, when, result):
    """Kill a second API process on the same home at the commit of a POST. The client repeats the request at the first
    process.
    """
    name = world.new_name()
    body = world.body(name, frames=2)
    port = free_port()
    variables = {"EMBEDREEL_PORT": str(port), "FAULTS_CRASH": f"commit:{when}:1:{name}"}
    doomed = Service(world.home, port, world.service.environment | variables)
    try:
        doomed.start_api("-m", "tests.faults.crashing", "api")
        try:
            client.ask(port, "POST", "/v1/runs", body, key=name)
        except OSError:
            answer, _ = client.insist([world.port], "POST", "/v1/runs", body, key=name)
            world.accepted[answer.body["id"]] = name
            return 1
        result.findings.append(Finding(LOST, f"the API answered though it should have ended {when} its commit"))
        return 0
    finally:
        doomed.stop()


FAULTS = (
    Fault(
        name="crash-at-commit",
        title="crash at each commit boundary",
        promise="the same final state",
        in_ci=1,
        in_full=5,
        run=crash,
    ),
)
