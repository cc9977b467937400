"""Restart the processes of a service when they end, with a pause that doubles after each restart."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

# Chosen by hand; not measured. Longer pauses reduce the load of a process that ends repeatedly. Shorter pauses end an
# outage earlier.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
SOUND_SECONDS = 15.0  # running time after which the next pause is FIRST_PAUSE_SECONDS again


class Processes(Protocol):
    """The processes under supervision."""

    @property
    def ended(self) -> list[str]:
        """Names of the processes that have ended."""

    def how_ended(self, name: str) -> str:
        """Describe how a process ended, in a sentence."""

    def start(self, name: str) -> None:
        """Start a process again."""


@dataclass(slots=True)
class _History:
    """The restart history of one process.

    Attributes:
        started_at: time of the last start.
        pause_seconds: pause before the next restart.
        due_at: time of the pending restart; None while the process runs.
    """

    started_at: float
    pause_seconds: float = FIRST_PAUSE_SECONDS
    due_at: float | None = None


class ProcessSupervisor:
    """Restarts ended processes. The caller calls `look` repeatedly."""

    def __init__(
        self, processes: Processes, *, report: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._processes = processes
        self._report = report
        self._now = now
        self._began_at = now()
        self._histories: dict[str, _History] = {}

    def look(self) -> None:
        """Report processes that have ended, and restart those whose pause is over."""
        for name in self._processes.ended:
            history = self._histories.setdefault(name, _History(self._began_at))
            if history.due_at is None:
                self._note_end(name, history)
            elif self._now() >= history.due_at:
                history.started_at, history.due_at = self._now(), None
                self._processes.start(name)

    def _note_end(self, name: str, history: _History) -> None:
        if self._now() - history.started_at >= SOUND_SECONDS:
            history.pause_seconds = FIRST_PAUSE_SECONDS
        self._report(
            f"{self._processes.how_ended(name)} It is started again in {history.pause_seconds:.0f} s; no run is lost."
        )
        history.due_at = self._now() + history.pause_seconds
        history.pause_seconds = min(LONGEST_PAUSE_SECONDS, 2 * history.pause_seconds)
