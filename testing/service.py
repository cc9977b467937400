"""The real service as a user runs it: an API process and worker processes. A test can kill each process group."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPATIENT = {
    "EMBEDREEL_LEASE_SECONDS": "3",
    "EMBEDREEL_RENEW_SECONDS": "0.5",
    "EMBEDREEL_SWEEP_SECONDS": "0.5",
    "EMBEDREEL_CANCEL_POLL_SECONDS": "0.2",
}
TERMINAL = {"succeeded", "failed", "cancelled"}


def free_port():
    """Return a free port outside the range of ephemeral ports.

    While the server of the port is stopped, no outgoing connection can occupy the port.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def serving(home, variables):
    """Run an API and a worker, and stop them at the end.

    Args:
        home: data folder of the service.
        variables: additional environment variables.
    """
    running = Service(home, free_port(), variables)
    try:
        running.start_api()
        running.start_worker()
        yield running
    finally:
        running.stop()


class Service:
    """The processes of a service with one data folder. `stop` ends all of them.

    Args:
        home: data folder of the service.
        port: port of the API.
        variables: additional environment variables.
        impatient: True: use the short intervals of IMPATIENT. False: use the default intervals.
    """

    def __init__(self, home, port, variables, *, impatient=True):
        self.home = home
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **os.environ,
            "EMBEDREEL_HOME": str(home),
            "EMBEDREEL_PORT": str(port),
            **(IMPATIENT if impatient else {}),
            **variables,
        }
        self.api = None
        self.workers = []

    def start_api(self, *arguments):
        """Start the API and wait until it is ready.

        Args:
            arguments: arguments of Python. The default is `-m api`.
        """
        self.api = self._start("api", arguments)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.get("/readyz"):
                    return
            assert self.api.poll() is None, self.log("api")
            time.sleep(0.1)
        raise AssertionError(self.log("api"))

    def start_worker(self, *arguments):
        """Start a worker and return its process.

        Args:
            arguments: arguments of Python. The default is `-m testing.worker`.
        """
        self.workers.append(self._start("worker", arguments or ("-m", "testing.worker")))
        return self.workers[-1]

    def kill_worker(self, worker=None):
        """Send SIGKILL to the process group of a worker: the supervisor and its fork server.

        The children of the fork server are not in this group. They must end by themselves.

        Args:
            worker: process of the worker. None: the worker that was started last.
        """
        worker = worker or self.workers[-1]
        self.workers.remove(worker)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def stop(self):
        for process in filter(None, [self.api, *self.workers]):
            if process.poll() is None:
                process.terminate()
        for process in filter(None, [self.api, *self.workers]):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def log(self, name):
        return (self.home / f"{name}.log").read_text()

    def get(self, path, **headers):
        return self._open(urllib.request.Request(self.url + path, headers=headers))

    def json(self, path):
        return json.loads(self.get(path))

    def post(self, path, body=None, **headers):
        data = json.dumps(body).encode() if body is not None else b""
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json", **headers}, method="POST"
        )
        return json.loads(self._open(request))

    def delete(self, path):
        self._open(urllib.request.Request(self.url + path, method="DELETE"))

    def submit(self, **body):
        return self.post("/v1/runs", body)["id"]

    def run(self, run_id):
        return self.json(f"/v1/runs/{run_id}")

    def wait(self, run_id, *, seconds=120, until=lambda run: run["status"] in TERMINAL, pause=0.05):
        deadline = time.monotonic() + seconds
        while True:
            run = self.run(run_id)
            if until(run):
                return run
            assert run["status"] not in TERMINAL, (run["status"], run["error"], self.log("worker"))
            assert time.monotonic() < deadline, (run, self.log("worker")[-3000:])
            time.sleep(pause)

    def _open(self, request):
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def _start(self, module, arguments):
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *(arguments or ("-m", module))],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def stage(run, name):
    return next(one for one in run["stages"] if one["name"] == name)
