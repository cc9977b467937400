"""The stages of a run: one entry each. The plan, the queues, the units and the first estimates of time are read here.

A new stage is an entry in `STAGES`, a module `worker/stages/<name>.py` with a function `run`, and a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Queue(StrEnum):
    """The queue that a stage's wake-up is sent to."""

    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class StageSpec:
    """What is known of a stage without running it.

    Attributes:
        name: of the stage, of its module in worker/stages, and in the API.
        queue: the workers of this queue run it.
        reads: dotted names of the fields of a RunSpec that decide what it makes; `figures` is the table
            of figures.
        needs: names of the stages that must be done before it starts.
        keyed_by: those of them whose artifacts decide what it makes; None: all of them.
        format: number of what it writes and how it computes it. Raise it when either changes: stored artifacts of
            the earlier number are then made anew.
        unit: what its progress counts.
        tasks: `one` task a run, or one for each `frame`.
        seconds_per_frame: first estimate, until this service has run the stage once; None: it is a part of the
            learning, whose time is estimated from its own rate, and whose artifacts every new drawing needs.
    """

    name: str
    queue: Queue
    reads: tuple[str, ...]
    needs: tuple[str, ...] = ()
    keyed_by: tuple[str, ...] | None = None
    format: int = 1
    unit: Literal["steps", "frames"] = "frames"
    tasks: Literal["one", "frame"] = "one"
    seconds_per_frame: float | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the stages whose artifacts decide what it makes."""
        return self.needs if self.keyed_by is None else self.keyed_by

    @property
    def learns(self) -> bool:
        """It is a part of the learning."""
        return self.seconds_per_frame is None


_FRAMES = ("capture.frames", "capture.spacing", "capture.probe_size")
_LEARNED = ("dataset", "model", "train", "pinned")
_LAYOUT = ("project", "align")

FINE_TUNE = StageSpec(
    "fine_tune",
    Queue.GPU,
    reads=(*_LEARNED, *_FRAMES, "capture.mode"),
    unit="steps",
)
EMBED = StageSpec("embed", Queue.GPU, reads=(*_LEARNED, *_FRAMES), tasks="frame")
SCORE = StageSpec(
    "score",
    Queue.GPU,
    reads=("score",),
    needs=("fine_tune", "embed"),
    keyed_by=("embed",),
    seconds_per_frame=0.05,
)
PROJECT = StageSpec(
    "project",
    Queue.GPU,
    reads=_LAYOUT,
    needs=("fine_tune", "embed"),
    keyed_by=("embed",),
    seconds_per_frame=0.05,
)
MEASURE = StageSpec(
    "measure",
    Queue.GPU,
    reads=_LAYOUT,
    needs=("fine_tune", "embed", "score", "project"),
    seconds_per_frame=0.1,
)
RENDER = StageSpec(
    "render",
    Queue.CPU,
    reads=("render", "name", "figures"),
    needs=("fine_tune", "embed", "score", "project", "measure"),
    seconds_per_frame=0.15,
)

STAGES: Mapping[str, StageSpec] = {stage.name: stage for stage in (FINE_TUNE, EMBED, SCORE, PROJECT, MEASURE, RENDER)}
"""All stages, each after those that it needs."""
