"""PostgreSQL is stopped immediately, without a checkpoint, and restarted, while runs and requests continue."""

import signal
import threading
import time

from tests.faults import client
from tests.faults.checker import LEFT, LOST, Finding
from tests.faults.lab import SERVERS
from tests.faults.result import Fault, Result
from tests.faults.world import RECOVERY_SECONDS

WORKERS = 2
AWAY_SECONDS = 2.0
HANG_SECONDS = 10.0


def disturb(lab, count):
    result = Result(bound_seconds=RECOVERY_SECONDS)
    with lab.world(SERVERS, workers=WORKERS, EMBEDREEL_MAX_ATTEMPTS="1000") as world:
        with world.stream(runs=2 * WORKERS), _Asking(world, result) as asking:
            for _ in range(count):
                time.sleep(lab.rng.uniform(1, 2))
                at = time.monotonic()
                lab.postgres.stop(signal.SIGQUIT)
                time.sleep(AWAY_SECONDS)
                lab.postgres.start()
                result.recovery.append(_next_begun(world, time.monotonic()) - at)
                result.injected += 1
        result.findings += world.settle()
    result.note = f"away for {AWAY_SECONDS:.0f} s each time; {asking.refused} requests were answered 503 meanwhile"
    if not asking.refused:
        result.findings.append(Finding(LOST, "no request was refused: the database was not away"))
    return result


class _Asking:
    """Requests the list of runs continuously, and records each answer that is neither correct nor a clear 503."""

    def __init__(self, world, result):
        self.refused = 0
        self._world, self._result = world, result
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()

    def _ask(self):
        while not self._stopped.wait(0.1):
            try:
                answer = client.ask(self._world.port, "GET", "/v1/runs?limit=1")
            except OSError as error:
                self._wrong(f"GET was not answered: {error}")
                continue
            if answer.status == 503 and answer.content_type == "application/problem+json":
                self.refused += 1
            elif answer.status != 200:
                self._wrong(f"GET was answered {answer.status} {answer.content_type}")
            if answer.seconds > HANG_SECONDS:
                self._wrong(f"GET was answered after {answer.seconds:.1f} s")

    def _wrong(self, what):
        self._result.findings.append(Finding(LEFT, what))


def _next_begun(world, after):
    """Return the first time after `at` at which a worker began a task."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if began := [one.began_at for one in world.attempts() if one.began_at > after]:
            return began[0]
        time.sleep(0.1)
    return deadline


FAULTS = (
    Fault(
        name="postgres",
        title="PostgreSQL stopped at once",
        promise="nothing lost; 503 meanwhile, no hang beyond 10 s",
        in_ci=4,
        in_full=40,
        run=disturb,
    ),
)
