"""The supervisor's side of a child process."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from worker import runner
from worker.job import Job

TUNING = {
    # OpenMP threads spin while they wait for each other, by default for milliseconds. Beside another busy process, a
    # training step then took 0.4 to 1.3 s instead of 0.04 s, and with this spin 0.12 s. On an idle machine, a step
    # became about a sixth slower. Measurements: ADR 5 (docs/adr/).
    "GOMP_SPINCOUNT": "1000",
    # By default, freed tensors return to the kernel, and the next step faults the pages in again: a step took 40 to
    # 55 ms instead of 37 ms (ADR 5). 32 MiB is the largest value that glibc accepts. 1 GiB is chosen by hand.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
"""Environment variables of the fork server and its children. Values that the operator has set take precedence."""


_FORK_SERVER_GONE = 255
"""Exit code that multiprocessing reports for a child whose fork server is dead."""


def warm_up(*preload: str) -> None:
    """Start the fork server, and wait until it has imported the given modules. Children then start without imports.

    Args:
        preload: names of the modules.
    """
    os.environ.update({name: value for name, value in TUNING.items() if name not in os.environ})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worker.forkserver", *preload])
    first = context.Process(target=int, name="warm up")
    first.start()
    first.join()


class Child:
    """The child process of one task. The child leads its own process group."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection

    @classmethod
    def start(cls, job: Job) -> "Child":
        """Fork a child from the fork server and pass the job to it."""
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=runner.main, args=(job, theirs), name=f"task {job.task.id}")
        process.start()
        theirs.close()
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The process id of the child, and the id of its process group."""
        assert self._process.pid is not None, "it was started"  # noqa: S101
        return self._process.pid

    @property
    def ended(self) -> bool:
        """True if the process has ended."""
        return not self._process.is_alive()

    @property
    def exit_reason(self) -> str:
        """How the process ended, as the end of the sentence "its process ended with ..."."""
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        return "its fork server, which was killed" if code == _FORK_SERVER_GONE else f"exit status {code}"

    def receive(self, *, timeout_seconds: float) -> tuple[str, dict[str, Any]] | None:
        """Return the next message: its kind and its fields. None if no message came in time or the child has ended."""
        try:
            if self._connection.poll(timeout_seconds):
                message: tuple[str, dict[str, Any]] = self._connection.recv()
                return message
        except (EOFError, OSError):
            self._process.join(timeout_seconds)
        return None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process group. A training stores its state before it ends; other tasks end at once."""
        if not self.ended:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process group and close the connection."""
        self._signal(signal.SIGKILL)
        self._process.join()
        self._connection.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # the child does not lead its group yet, or the whole group has ended
            if not self.ended:
                os.kill(self.pid, number)
