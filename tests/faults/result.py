"""A fault, and the result of injecting it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.checker import DOUBLED, LOST, Finding


@dataclass(frozen=True)
class Fault:
    """A row of the table: `run(lab, count)` injects it `count` times and returns a Result.

    Attributes:
        promise: what must hold, as the table says it.
        in_ci: number of injections in CI. 0: the fault is not injected there.
        in_full: number of injections in a full run.
        unit: unit of the count if the count is a duration, such as ` s`. Such a row has no bound on the fraction of
            failures.
    """

    name: str
    title: str
    promise: str
    in_ci: int
    in_full: int
    run: Callable[[Any, int], "Result"]
    unit: str = ""


@dataclass
class Result:
    """Observations of one fault.

    Attributes:
        injected: number of faults that affected running work. Other faults are not counted.
        recovery: seconds from each fault until the affected work was running again or finished.
        bound_seconds: upper bound of the 95th percentile of `recovery`. None if nothing has to recover.
        note: additional text for the reader of the table.
        seconds: duration of the line, seconds.
    """

    injected: int = 0
    recovery: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    bound_seconds: float | None = None
    note: str = ""
    seconds: float = 0.0

    def __add__(self, other: "Result") -> "Result":
        notes = [note for note in dict.fromkeys([self.note, other.note]) if note]
        return Result(
            self.injected + other.injected,
            self.recovery + other.recovery,
            self.findings + other.findings,
            self.bound_seconds,
            "; ".join(notes),
        )

    def count(self, kind: str) -> int:
        """Return the number of findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)

    @property
    def lost(self) -> int:
        return self.count(LOST)

    @property
    def doubled(self) -> int:
        return self.count(DOUBLED)

    @property
    def p95(self) -> float | None:
        """95th percentile of the recovery times: at most one in twenty is larger."""
        if not self.recovery:
            return None
        ordered = sorted(self.recovery)
        return ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]

    def holds(self, wanted: int) -> bool:
        """Return True if there is no finding, enough faults were injected, and recovery was as fast as promised."""
        slow = self.bound_seconds is not None and (self.p95 is None or self.p95 > self.bound_seconds)
        return self.injected >= wanted and not self.findings and not slow
