"""The service for benchmarks: processes of the API and a worker with an empty data folder, and their peak memory."""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from embedreel import serve
from embedreel.api import Client, Json


@contextmanager
def service() -> Iterator[tuple[Client, serve.LocalService]]:
    """Start a service with a temporary data folder. Yield a client and the processes when the service is ready."""
    with tempfile.TemporaryDirectory(prefix="embedreel-bench-") as folder:
        port = serve.free_port(serve.HOST)
        url = serve.url_of(serve.HOST, port)
        home = Path(folder)
        environment = {"EMBEDREEL_HOME": folder, "EMBEDREEL_HOST": serve.HOST, "EMBEDREEL_PORT": str(port)}
        commands = serve.commands() | {"worker": [sys.executable, "-m", "testing.worker"]}
        running = serve.LocalService(commands, url=url, environment=environment, log=home / "service.log")
        with running, Client(url) as client:
            running.wait_until_ready()
            yield client, running


def finish(client: Client, run_id: str) -> Json:
    """Wait until the run has ended, and return the run. Exit if the run did not succeed."""
    while (run := client.run(run_id))["status"] not in {"succeeded", "failed", "cancelled"}:
        time.sleep(0.2)
    if run["status"] != "succeeded":
        raise SystemExit(f"run {run_id}: {run['status']}, {run['error']}")
    return run


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class PeakOfChildren:
    """Measures the resident memory of the descendants of a process 20 times per second.

    Attributes:
        peak: largest resident memory of one descendant so far, bytes.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            for pid in descendants(self._pid):
                with suppress(OSError, StopIteration):
                    self.peak = max(self.peak, resident_bytes(pid))


def descendants(pid: int) -> list[int]:
    """Return the ids of all descendants of a process."""
    with suppress(OSError):
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return children + [grandchild for child in children for grandchild in descendants(child)]
    return []
