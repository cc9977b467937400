"""Detection of a child that hangs: it sends no messages, and its processes use no CPU and transfer no bytes.

A download, the decoding of a large dataset or one slow t-SNE frame sends no messages for a long time. The child's
processes are measured from outside. A child that is busy in C code may hold the interpreter's lock, so it could not
report.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

BUSY_STALLS = 24
"""A busy child may be silent for this many times `stall_seconds`, because it may be in an endless loop. A choice."""

LEAST_CPU = 0.01
"""CPU seconds for each second of `stall_seconds` that count as work. Idle threads that wake up sometimes use less."""

LEAST_BYTES = 1 << 20
"""Bytes read and written within `stall_seconds` that count as work. A choice."""

LOOKS = 50
"""Measurements within `stall_seconds`. A choice: more measurements detect a stall sooner and cost more."""


@dataclass
class Watchdog:
    """Watches one child.

    Attributes:
        pid: process id of the child. The child's own child processes are watched too.
        stall_seconds: longest time without messages and without work.
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
        """Return why the child is considered to hang; empty if it is not."""
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
        ):  # a process has ended, so the sums fell
            self._last_totals = cpu, moved
            return False
        worked = (
            cpu - self._last_totals[0] >= LEAST_CPU * self.stall_seconds or moved - self._last_totals[1] >= LEAST_BYTES
        )
        if worked:
            self._last_totals = cpu, moved
        return worked


def totals(pid: int) -> tuple[float, int]:
    """Return the resource use of a process and its descendants, as far as the system reports it.

    Returns:
        CPU seconds, and bytes read and written.
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
