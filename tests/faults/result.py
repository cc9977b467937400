"""What a fault is, and what injecting it has shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.checker import DOUBLED, LOST, Finding


@dataclass(frozen=True)
class Fault:
    """A line of the table: `run(lab, count)` injects it `count` times and returns a Result.

    Attributes:
        promise: what must hold, in the table's words.
        in_ci: how often it is injected in CI, 0: not there; `in_full` in a full run.
        unit: what is counted where it is time that goes by, such as ` s`; such a line has no share of failures.
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
    """What was seen.

    Attributes:
        injected: faults that met work under way; only these count.
        recovery: seconds from a fault to the moment when the work that it met was under way again, or finished.
        bound_seconds: what the 95th percentile of `recovery` may be; None where nothing has to recover.
        note: what else a reader of the table should know.
        seconds: how long it took to see it.
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
        """Findings of a kind."""
        return sum(finding.kind == kind for finding in self.findings)

    @property
    def lost(self) -> int:
        return self.count(LOST)

    @property
    def doubled(self) -> int:
        return self.count(DOUBLED)

    @property
    def p95(self) -> float | None:
        """95th percentile of the recovery times: the value that at most one in twenty exceeds."""
        if not self.recovery:
            return None
        ordered = sorted(self.recovery)
        return ordered[max(0, -(-len(ordered) * 95 // 100) - 1)]

    def holds(self, wanted: int) -> bool:
        """Nothing was found, often enough, and recovery was as fast as promised."""
        slow = self.bound_seconds is not None and (self.p95 is None or self.p95 > self.bound_seconds)
        return self.injected >= wanted and not self.findings and not slow
