"""A child process as its supervisor sees it."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from worker import runner

TUNING = {
    # Threads of one operation wait for each other spinning, by default for milliseconds: next to any other busy process
    # a step then takes up to 30 times as long. So short a spin costs an idle machine about a sixth, or nothing.
    "GOMP_SPINCOUNT": "1000",
    # Freed memory goes back to the kernel at once by default, and each step pays for its pages again: a fifth of it.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
"""Variables of the fork server and its children, unless the operator has set them."""


_FORK_SERVER_GONE = 255
"""What multiprocessing says of a child whose fork server cannot be asked any more."""


def warm_up(*preload: str) -> None:
    """Start the fork server, which imports these modules once, and wait until it has: children then start at once."""
    os.environ.update({name: value for name, value in TUNING.items() if name not in os.environ})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worker.forkserver", *preload])
    first = context.Process(target=int, name="warm up")
    first.start()
    first.join()


class Child:
    """One stage's process, the leader of its own process group."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection

    @classmethod
    def start(cls, job: runner.Job) -> "Child":
        """Fork a child from the warm server and give it the job."""
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=runner.main, args=(job, theirs), name=f"stage {job.stage_id}")
        process.start()
        theirs.close()
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        assert self._process.pid is not None, "it was started"  # noqa: S101
        return self._process.pid

    @property
    def ended(self) -> bool:
        """The process is gone."""
        return not self._process.is_alive()

    @property
    def exit_reason(self) -> str:
        """How it ended, in words."""
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        return "its fork server, which was killed" if code == _FORK_SERVER_GONE else f"exit status {code}"

    def receive(self, *, timeout_seconds: float) -> tuple[str, dict[str, Any]] | None:
        """The next message, or None: none came in time, or there will be none."""
        try:
            if self._connection.poll(timeout_seconds):
                message: tuple[str, dict[str, Any]] = self._connection.recv()
                return message
        except (EOFError, OSError):
            self._process.join(timeout_seconds)
        return None

    def ask_to_stop(self) -> None:
        """SIGTERM to the whole group: a training stores its state first, everything else ends."""
        if not self.ended:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group."""
        self._signal(signal.SIGKILL)
        self._process.join()
        self._connection.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it has not come to lead its group yet, or all of it is gone
            if not self.ended:
                os.kill(self.pid, number)
