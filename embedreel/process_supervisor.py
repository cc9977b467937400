"""Keeps the processes of a service going: one that ends is started again, after a pause that grows with each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
SOUND_SECONDS = 15.0  # a process that has run for so long was not started in vain


class Processes(Protocol):
    """What is kept going."""

    @property
    def ended(self) -> list[str]:
        """Names of the processes that run no more."""

    def how_ended(self, name: str) -> str:
        """How one of them ended, in words."""

    def start(self, name: str) -> None:
        """Start one of them anew."""


@dataclass(slots=True)
class _History:
    """Of one process: when it was started last, the pause that comes next, when it is due again (None: it runs)."""

    started_at: float
    pause_seconds: float = FIRST_PAUSE_SECONDS
    due_at: float | None = None


class ProcessSupervisor:
    """Looks after the processes whenever it is asked to."""

    def __init__(
        self, processes: Processes, *, report: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._processes = processes
        self._report = report
        self._now = now
        self._began_at = now()
        self._histories: dict[str, _History] = {}

    def look(self) -> None:
        """Note which processes have ended, and start again those that are due."""
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
