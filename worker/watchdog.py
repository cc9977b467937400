"""Whether a child hangs: it reports nothing, and its processes use no CPU and move no bytes.

A download, the decoding of a large dataset or one slow t-SNE frame reports nothing for a long time. The child's
processes are looked at from outside, since one that is busy in C may hold the interpreter's lock and cannot tell.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

BUSY_STALLS = 24
"""So many times as long as a child that does nothing, one that is busy may report nothing: it may turn in a circle."""

LEAST_CPU = 0.01
"""CPU seconds a second, over `stall_seconds`; idle threads that wake now and then use less."""

LEAST_BYTES = 1 << 20
"""Read and written, over `stall_seconds`."""

LOOKS = 50
"""How often the processes are looked at in `stall_seconds`."""


@dataclass
class Watchdog:
    """Watches one child.

    Attributes:
        pid: the child's process id; what it has started is watched with it.
        stall_seconds: how long it may do nothing.
    """

    pid: int
    stall_seconds: float
    _reported_at: float = field(default_factory=time.monotonic)
    _worked_at: float = 0.0
    _look_at: float = 0.0
    _seen: tuple[float, int] | None = None

    def reported(self) -> None:
        """The child has sent a message."""
        self._reported_at = time.monotonic()

    def complaint(self) -> str:
        """Why the child is taken to hang; empty while it is not."""
        now = time.monotonic()
        silent = now - self._reported_at
        if silent > BUSY_STALLS * self.stall_seconds:
            return f"it showed no progress for {silent:.0f} s, although it was busy"
        if now >= self._look_at:
            self._look_at = now + self.stall_seconds / LOOKS
            if self._has_worked():
                self._worked_at = now
        if now - max(self._reported_at, self._worked_at) > self.stall_seconds:
            return f"it showed no progress and did nothing for {self.stall_seconds:.0f} s"
        return ""

    def _has_worked(self) -> bool:
        """Whether its processes have done enough since they last had."""
        cpu, moved = totals(self.pid)
        if self._seen is None or cpu < self._seen[0] or moved < self._seen[1]:  # one of them has ended
            self._seen = cpu, moved
            return False
        worked = cpu - self._seen[0] >= LEAST_CPU * self.stall_seconds or moved - self._seen[1] >= LEAST_BYTES
        if worked:
            self._seen = cpu, moved
        return worked


def totals(pid: int) -> tuple[float, int]:
    """CPU seconds and bytes of a process and all below it, as far as the system tells."""
    cpu, moved = 0.0, 0
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                times = process.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
                counted = process.io_counters()
                moved += counted.read_chars + counted.write_chars
    return cpu, moved
