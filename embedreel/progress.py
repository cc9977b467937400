"""Progress and rates of a run's stages, from the run's JSON."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

ENDED = {"succeeded", "failed", "cancelled"}
RATE_SECONDS = 15.0
"""Time over which rates are averaged. A longer time gives a steadier rate, a shorter time a more current rate.

Chosen by hand; not measured.
"""

Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: name of the stage.
        status: waiting, queued, running, succeeded, failed or cancelled.
        done: number of finished units.
        total: total number of units; 0 while it is unknown.
        reused: True if the artifact of another run is used.
        elapsed_seconds: seconds from the start of the stage to its end, or to now; None before the start.
        attempt: number of starts of the stage.
        unit: unit of `done` and `total`: steps or frames.
    """

    name: str
    status: str
    done: int
    total: int
    reused: bool
    elapsed_seconds: float | None
    attempt: int = 0
    unit: str = "frames"

    @property
    def outcome(self) -> str:
        """The status as shown to the user; "reused" for a reused stage."""
        return "reused" if self.reused and self.status == "succeeded" else self.status


def stages(run: dict[str, Any]) -> list[Stage]:
    """Return the run's stages in the order of its plan."""
    return [
        Stage(
            name=stage["name"],
            status=stage["status"],
            done=stage["progress"]["done"],
            total=stage["progress"]["total"],
            reused=stage.get("reused", False),
            elapsed_seconds=_elapsed(stage),
            attempt=stage.get("attempt") or 0,
            unit=stage.get("unit", "frames"),
        )
        for stage in run["stages"]
    ]


def headline(run: dict[str, Any]) -> str:
    """Return the run's name and status, the number of runs ahead, and the time left.

    >>> headline({"name": "digits", "status": "queued", "queue_position": 2})
    'digits  queued, 2 runs ahead of it'
    """
    line = f"{run.get('name', '')}  {run.get('status', '')}".strip()
    if n_ahead := run.get("queue_position"):
        line += f", {n_ahead} {'run' if n_ahead == 1 else 'runs'} ahead of it"
    if run.get("eta_seconds") is not None:
        line += f", about {clock(run['eta_seconds'])} left"
    return line


def _elapsed(stage: dict[str, Any]) -> float | None:
    if not stage["started_at"]:
        return None
    end = datetime.fromisoformat(stage["finished_at"]) if stage["finished_at"] else datetime.now(UTC)
    return max(0.0, (end - datetime.fromisoformat(stage["started_at"])).total_seconds())


class Rates:
    """Measures the rate of each stage over the last RATE_SECONDS."""

    def __init__(self, now: Clock = time.monotonic) -> None:
        self._now = now
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def add(self, stage: Stage) -> None:
        """Record the current progress of a running stage."""
        if stage.status != "running":
            return
        samples = self._samples.setdefault(stage.name, deque())
        if samples and samples[-1][1] > stage.done:  # restarted on another worker
            samples.clear()
        if not samples or samples[-1][1] != stage.done:
            samples.append((self._now(), stage.done))
        while len(samples) > 2 and samples[0][0] < self._now() - RATE_SECONDS:  # noqa: PLR2004
            samples.popleft()

    def of(self, stage: Stage) -> float | None:
        """Return the rate of a stage, units per second; None if the rate is unknown.

        The rate of an ended stage is the average over the whole stage.
        """
        if stage.status in ENDED:
            return stage.done / stage.elapsed_seconds if stage.elapsed_seconds else None
        samples = self._samples.get(stage.name)
        if not samples:
            return None
        (began, first), last, ended = samples[0], samples[-1][1], self._now()
        return (last - first) / (ended - began) if last > first and ended > began else None

    def left_seconds(self, stage: Stage) -> float | None:
        """Return the estimated seconds until a running stage is done, or None if the rate is unknown."""
        rate = self.of(stage)
        return (stage.total - stage.done) / rate if rate and stage.status == "running" else None


def clock(seconds: float | None) -> str:
    """Format seconds as hours, minutes and seconds.

    >>> clock(75.4), clock(3700), clock(None)
    ('1:15', '1:01:40', '-:--')
    """
    if seconds is None:
        return "-:--"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def speed(rate: float, unit: str) -> str:
    """Format a rate, units per second.

    >>> speed(12.34, "steps"), speed(0.123, "frames")
    ('12.3 steps/s', '0.12 frames/s')
    """
    return f"{rate:.{1 if rate >= 1 else 2}f} {unit}/s"


def measures(checkpoint: dict[str, Any] | None) -> str:
    """Format a checkpoint's step, loss and accuracy; empty without a checkpoint.

    >>> measures({"step": 80, "loss": 0.8123, "accuracy": 0.712})
    'step 80, loss 0.812, accuracy 71.2 %'
    """
    if not checkpoint:
        return ""
    words = [f"step {checkpoint['step']:.0f}"]
    if checkpoint.get("loss") is not None:
        words.append(f"loss {checkpoint['loss']:.3f}")
    if checkpoint.get("accuracy") is not None:
        words.append(f"accuracy {100 * checkpoint['accuracy']:.1f} %")
    return ", ".join(words)
