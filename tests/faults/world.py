"""A service under test: an API, workers with stub stages, a stream of small runs, and the data for the checker."""

import secrets
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

from testing.service import ROOT, Service, free_port
from tests.faults import audit, client, processes
from tests.faults.checker import LEFT, LOST, Evidence, Finding, check
from tests.faults.database import TERMINAL, Rows

LEASE_SECONDS = 3.0
RECOVERY_SECONDS = LEASE_SECONDS + 10
SETTLE_SECONDS = 120.0

TIMES = {
    "EMBEDREEL_LEASE_SECONDS": str(LEASE_SECONDS),
    "EMBEDREEL_RENEW_SECONDS": "0.5",
    "EMBEDREEL_SWEEP_SECONDS": "0.5",
    "EMBEDREEL_HEARTBEAT_SECONDS": "1",
    "EMBEDREEL_STATE_SECONDS": "0",
    "EMBEDREEL_CANCEL_POLL_SECONDS": "0.2",
    "EMBEDREEL_TEST_STAGES": "tests.stub_stages",
    "EMBEDREEL_LOG_LEVEL": "WARNING",
}


class World:
    """Processes on one home folder. `close` ends all processes that were started here."""

    def __init__(self, folder, variables, *, rng, home=None):
        self.rng = rng
        self.home = home or folder / "home"
        self.audit = folder / "audit.jsonl"
        self.port = free_port()
        stub = {"EMBEDREEL_STUB_AUDIT": str(self.audit), "EMBEDREEL_STUB_SECONDS": "0.05"}
        self.service = Service(self.home, self.port, {**TIMES, **stub, **variables})
        self.rows = Rows(
            self.service.environment.get("EMBEDREEL_DATABASE_URL") or f"sqlite:///{self.home}/embedreel.db"
        )
        self.accepted = {}
        self.may_end = {}

    @property
    def workers(self):
        return self.service.workers

    @property
    def store(self):
        return self.home / "artifacts"

    def start(self, *, workers, main=()):
        """Start the API, which migrates the database, and then the workers. When this returns, each worker has sent a
        heartbeat.
        """
        self.service.start_api(*main)
        self.start_workers(workers)

    def start_workers(self, number):
        """Start `number` workers and wait until each one has sent a heartbeat."""
        started = [self.service.start_worker() for _ in range(number)]
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self.ready() >= {one.pid for one in started}:
            assert time.monotonic() < deadline, self.service.log("worker")[-2000:]
            assert all(one.poll() is None for one in started), self.service.log("worker")[-2000:]
            time.sleep(0.1)
        return started

    def ready(self):
        """Return the process ids of the workers that run and have sent a heartbeat."""
        ready = {int(row["id"].split("-")[-2]) for row in self.rows.of("SELECT id FROM workers")}
        return ready & {worker.pid for worker in self.workers}

    def submit(self, word="run", *, frames=3, mode=None, ports=None):
        """Submit a run that shares no artifact with another run, and repeat the request until it is accepted. Returns
        the name of the run.
        """
        name = self.new_name(word)
        body = self.body(name, frames=frames, mode=mode)
        answer, _ = client.insist(ports or [self.port], "POST", "/v1/runs", body, key=name)
        assert answer.status == 202, (answer.status, answer.body)
        self.accepted[answer.body["id"]] = name
        return name

    def new_name(self, word="run"):
        """Return a unique name. Its first word selects the behaviour of the stub stages."""
        return f"{word}-{len(self.accepted):05d}-{secrets.token_hex(3)}"

    def body(self, name, *, frames=3, mode=None):
        """Return the request body of a run with this name."""
        mode = mode or self.rng.choice(["inline", "offload"])
        return {
            "dataset": "digits",
            "name": name,
            "train": {"steps": 10, "seed": secrets.randbits(32)},
            "capture": {"frames": frames, "probe_size": 3, "mode": mode},
        }

    def run_id(self, name):
        """Return the id of the accepted run with this name."""
        return next(run_id for run_id, given in self.accepted.items() if given == name)

    def unfinished(self, names=None):
        """Return the number of runs, of these or of all, that have not ended."""
        rows = self.rows.of(f"SELECT name FROM runs WHERE status NOT IN {TERMINAL}")
        return sum(names is None or row["name"] in names for row in rows)

    def claimed_by(self, worker):
        """Return (run name, task id) of each task that this worker has claimed and not yet finished."""
        query = (
            "SELECT runs.name, tasks.id FROM tasks JOIN runs ON runs.id = tasks.run_id "
            "WHERE tasks.status = 'running' AND tasks.worker_id LIKE ?"
        )
        return [(row["name"], row["id"]) for row in self.rows.of(query, f"%-{worker.pid}-%")]

    def attempts(self):
        return audit.read(self.audit)

    @contextmanager
    def stream(self, *, runs):
        """Keep this number of runs active during the block."""
        stopped = threading.Event()
        troubles = []

        def flow():
            while not stopped.is_set():
                try:
                    for _ in range(runs - self.unfinished()):
                        self.submit()
                except AssertionError as error:
                    troubles.append(error)
                    return
                except Exception:  # noqa: BLE001 - the database may be away just now, that is the point
                    stopped.wait(0.2)
                stopped.wait(0.1)

        thread = threading.Thread(target=flow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
        if troubles:
            raise troubles[0]

    def wait(self, names=None, *, seconds=SETTLE_SECONDS):
        """Wait until these runs, or all runs, have ended, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(Exception):  # the database may be stopped
                if not self.unfinished(names):
                    return
            time.sleep(0.1)

    def settle(self, *, seconds=SETTLE_SECONDS):
        """Wait until every run has ended, stop the service, run its garbage collection, and check everything."""
        self.wait(seconds=seconds)
        findings = [Finding(LEFT, f"process {pid} of a stage that has ended") for pid in self._children()]
        self.service.stop()
        findings += [Finding(LEFT, f"process {pid} after all have stopped") for pid in self._remaining()]
        subprocess.run(
            [sys.executable, "-m", "tests.faults.tidy"], cwd=ROOT, env=self.service.environment, check=True, timeout=120
        )
        return findings + check(self.evidence())

    def evidence(self):
        return Evidence(self.rows.url, self.store, self.audit, self.accepted, self.may_end)

    def recovered(self, disturbed):
        """Measure the time until each disturbed task was begun again by another worker.

        Args:
            disturbed: (time, process id of the killed worker, run name, task id) of each.

        Returns:
            The times in seconds, and a finding for each task that was not begun again. A task that the killed
                worker itself has finished needs no second attempt: a server completes a commit even if the client
                is killed.
        """
        attempts, seconds, findings = self.attempts(), [], []
        for at, victim, run, stage in disturbed:
            again = (
                one.began_at for one in attempts if (one.run, one.stage) == (run, stage) and one.supervisor != victim
            )
            first = next((began for began in again if began > at), None)
            if first is not None:
                seconds.append(first - at)
                continue
            now = self._shown(run, stage)
            if now["status"] != "succeeded" or f"-{victim}-" not in (now["worker_id"] or ""):
                findings.append(Finding(LOST, f"{stage} of {run} was disturbed and never begun again: {now}"))
        return seconds, findings

    def _shown(self, run, stage):
        query = (
            "SELECT tasks.status, tasks.attempt, tasks.token, tasks.worker_id FROM tasks "
            "JOIN runs ON runs.id = tasks.run_id WHERE runs.name = ? AND tasks.id = ?"
        )
        (row,) = self.rows.of(query, run, stage)
        return dict(row)

    def close(self):
        """Stop the service and kill every process of this home."""
        self.service.stop()
        processes.end(processes.of_home(self.home))

    def _children(self):
        """Return the processes of tasks that still run although no task is running. Each one leads its own session
        below a fork server.
        """
        began = {attempt.pid: attempt.began_at for attempt in self.attempts()}
        home = processes.of_home(self.home)
        # Process ids are reused. A process that started after the attempt began is another process.
        own = {pid for pid, at in began.items() if pid in home and (processes.started(pid) or at) <= at}
        return processes.wait_gone(own, seconds=5)

    def _remaining(self):
        return processes.wait_gone(processes.of_home(self.home), seconds=5)
