"""Detection of a child that hangs: it sends no messages, and its processes use no CPU and transfer no bytes.

A child may work for a long time without a message, for example during a download, the decoding of a large dataset or a
slow t-SNE frame. Therefore the resource use of the child's processes is measured from outside. The child cannot report
it itself, because C code may hold the interpreter's lock.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

BUSY_STALLS = 24
"""A busy child may send no message for this multiple of `stall_seconds`. It may be in an endless loop.

With the default of 1,800 s, this is 12 hours. Chosen by hand; not measured.
"""

LEAST_CPU = 0.01
"""Smallest CPU time that counts as work, as a fraction of `stall_seconds`.

The fraction allows for idle threads that wake up from time to time. Chosen by hand; not measured.
"""

LEAST_BYTES = 1 << 20
"""Smallest number of bytes read and written that counts as work. Chosen by hand; not measured."""

LOOKS = 50
"""Number of measurements within `stall_seconds`. More measurements detect a stall sooner and use more CPU time.

Chosen by hand; not measured.
"""


@dataclass
class Watchdog:
    """Watches one child.

    Attributes:
        pid: process id of the child. The child's own child processes are watched too.
        stall_seconds: longest allowed time without a message and without work.
    """

    pid: int
    stall_seconds: float
    _reported_at: float = field(default_factory=time.monotonic)
    _worked_at: float = 0.0
    _measure_at: float = 0.0
    _last_totals: tuple[float, int] | None = None

    def reported(self) -> None:
        """Record that the child has sent a message."""
        self._reported_at = time.monotonic()

    def complaint(self) -> str:
        """Return the reason why the child is considered to hang; an empty string if it does not hang."""
        now = time.monotonic()
        silent = now - self._reported_at
        if silent > BUSY_STALLS * self.stall_seconds:
            return f"it showed no progress for {silent:.0f} s, although it was busy"
        if now >= self._measure_at:
            self._measure_at = now + self.stall_seconds / LOOKS
            if self._has_worked():
                self._worked_at = now
        if now - max(self._reported_at, self._worked_at) > self.stall_seconds:
            return f"it showed no progress and did nothing for {self.stall_seconds:.0f} s"
        return ""

    def _has_worked(self) -> bool:
        """Return True if the processes have done enough work since the last measurement that found work."""
        cpu, moved = totals(self.pid)
        if (
            self._last_totals is None or cpu < self._last_totals[0] or moved < self._last_totals[1]
        ):  # the sums fall when a process ends
            self._last_totals = cpu, moved
            return False
        worked = (
            cpu - self._last_totals[0] >= LEAST_CPU * self.stall_seconds or moved - self._last_totals[1] >= LEAST_BYTES
        )
        if worked:
            self._last_totals = cpu, moved
        return worked


def totals(pid: int) -> tuple[float, int]:
    """Return the resource use of a process and its descendants.

    Args:
        pid: process id.

    Returns:
        CPU seconds, and the number of bytes read and written. Processes that cannot be read are left out.
    """
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
