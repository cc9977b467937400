"""The table of stages. The plan, the queues, the units of progress and the first estimates of time come from it.

A new stage is an entry in `STAGES`, a module `worker/stages/<name>.py` with a function `run`, and a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Queue(StrEnum):
    """A queue of stages."""

    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class StageSpec:
    """Declaration of a stage.

    Attributes:
        name: name of the stage, and of its module in worker/stages.
        queue: queue of the workers that run the stage.
        reads: dotted names of the fields of a RunSpec that decide the artifact. `figures` is the table of figures.
        needs: names of the stages that must finish before the stage starts.
        keyed_by: the stages among `needs` whose artifacts decide the artifact; None means all of `needs`.
        format: number of the artifact's format and computation. Raise it when either changes: artifacts with an
            earlier number are then made again.
        unit: unit of the progress.
        tasks: "one" task for each run, or one for each "frame".
        seconds_per_frame: estimate until the service has run the stage once; chosen by hand, not measured. None for a
            stage of the training: the time is estimated from the speed of the training.
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
        """Names of the stages whose artifacts decide the artifact."""
        return self.needs if self.keyed_by is None else self.keyed_by

    @property
    def learns(self) -> bool:
        """True for a stage of the training. Every new drawing of a run requires the artifacts of these stages."""
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
"""All stages. Each comes after the stages that it needs."""
