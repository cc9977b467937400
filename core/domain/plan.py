"""The plan of a run: its tasks in order, and the key of the artifact of each task.

`build(spec)` is pure, so the API and the worker get the same plan. The key of an artifact is a hash of everything that
decides its content. Resume, retry and a new drawing all use one question: is an artifact with this key stored?
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property, reduce
from operator import getitem
from typing import Any, Literal

from core.domain.figures import OF_COMPARISON, versions
from core.domain.frozen import Frozen
from core.domain.schedule import candidate_steps, capture_steps
from core.domain.spec import CaptureSpec, RunSpec, TrainSpec
from core.domain.stages import EMBED, FINE_TUNE, MEASURE, PROJECT, RENDER, STAGES, Queue, StageSpec

PART_FORMATS: Mapping[str, int] = dict.fromkeys(("checkpoint", "comparison", "weights", "state"), 1)
"""Format numbers of artifacts that are not the artifact of a stage. Raise a number as for `StageSpec.format`."""


SKIPPED = "skipped"
"""Marks a frame after the early end of its training: name of the only file of its artifact, and name of a fact."""


class Part(Frozen):
    """An artifact that a task publishes while it runs.

    Attributes:
        id: id of the part within the run.
        key: key of the artifact.
        task: id of the task that uses the part; with "keeps", of the task that makes it.
        effect: "completes": the part is the artifact of the other task (a frame that the training embeds).
            "releases": the other task starts with the part (a checkpoint that any worker embeds). "keeps": the part is
            for the user (weights).
        step: optimiser step of the part; None if only the training decides the step.
    """

    id: str
    key: str
    task: str
    effect: Literal["completes", "releases", "keeps"]
    step: int | None = None


class ComparedArtifacts(Frozen):
    """Keys of the artifacts of a compared run that a comparison reads."""

    fine_tune: str
    embeds: tuple[str, ...]
    project: str
    measure: str

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys."""
        return (self.fine_tune, *self.embeds, self.project, self.measure)


class PlannedTask(Frozen):
    """One task of a stage.

    Attributes:
        id: id within the run: the name of the stage, for a frame followed by `/` and the index.
        name: name of the stage.
        key: key of the artifact.
        needs: ids of the tasks that must finish first.
        index: index of the frame; None for a stage with one task.
        parts: artifacts that the task publishes while it runs.
        shows: artifacts of compared runs that the task reads.
    """

    id: str
    name: str
    key: str
    needs: tuple[str, ...] = ()
    index: int | None = None
    parts: tuple[Part, ...] = ()
    shows: tuple[ComparedArtifacts, ...] = ()

    @property
    def queue(self) -> Queue:
        """The queue of the workers that run the task."""
        return STAGES[self.name].queue


class Plan(Frozen):
    """The tasks of a run. Each task comes after the tasks that it needs.

    Attributes:
        steps: steps at which a checkpoint is captured. With capture by drift, steps at which one may be captured.
        tasks: the tasks.
    """

    steps: tuple[int, ...]
    tasks: tuple[PlannedTask, ...]

    def task(self, task_id: str) -> PlannedTask:
        """Return the task with this id."""
        return self._by_id[task_id]

    @cached_property
    def _by_id(self) -> dict[str, PlannedTask]:
        return {task.id: task for task in self.tasks}

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all artifacts that the run makes: for each task its artifact, then its parts."""
        return tuple(key for task in self.tasks for key in (task.key, *(part.key for part in task.parts)))

    def inputs(self, task: PlannedTask) -> tuple[str, ...]:
        """Return the keys of the artifacts that a task reads."""
        shown = (key for one in task.shows for key in one.keys)
        return (*(self.task(need).key for need in task.needs), *self.released_to(task.id), *shown)

    def released_to(self, task_id: str) -> tuple[str, ...]:
        """Return the keys of the parts that a task starts with."""
        parts = (part for task in self.tasks for part in task.parts)
        return tuple(part.key for part in parts if part.task == task_id and part.effect == "releases")

    def tasks_of(self, stage: StageSpec) -> tuple[PlannedTask, ...]:
        """Return all tasks of a stage, in order."""
        return tuple(task for task in self.tasks if task.name == stage.name)


def artifact_key(kind: str, reads: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    """Return the key of an artifact: the SHA-256 of its kind, format number, fields and inputs.

    Args:
        kind: name of the stage, or kind of the part.
        reads: the fields of the spec that decide the content, by dotted name.
        inputs: keys of the artifacts that decide the content.
    """
    return hashlib.sha256(_identity(kind, reads, inputs).encode()).hexdigest()


def _identity(kind: str, reads: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    number = STAGES[kind].format if kind in STAGES else PART_FORMATS[kind]
    identity = {"stage": kind, "format": number, "reads": dict(reads), "inputs": inputs}
    return json.dumps(identity, sort_keys=True, separators=(",", ":"))


def _indexed_keys(kind: str, reads: Mapping[str, Any], *, count: int) -> tuple[str, ...]:
    """Return `artifact_key` with the field `index` for each index below `count`. The common JSON is written once."""
    before, after = _identity(kind, {**reads, "index": "?"}).split('"index":"?"')
    return tuple(hashlib.sha256(f'{before}"index":{index}{after}'.encode()).hexdigest() for index in range(count))


def build(spec: RunSpec) -> Plan:
    """Return the plan of a run. It depends on the spec only."""
    return _comparison(spec) if spec.compared else _training(spec)


def _comparison(spec: RunSpec) -> Plan:
    """Return the plan of a comparison: only a film from artifacts of other runs."""
    plans = [build(one.spec) for one in spec.compared]
    shows = tuple(
        ComparedArtifacts(
            fine_tune=plan.task(FINE_TUNE.name).key,
            embeds=tuple(task.key for task in plan.tasks_of(EMBED)),
            project=plan.task(PROJECT.name).key,
            measure=plan.task(MEASURE.name).key,
        )
        for plan in plans
    )
    reads = {
        "render": spec.render.model_dump(mode="json"),
        "drawing": RENDER.format,
        "figures": versions(OF_COMPARISON),
        "name": spec.name,
        "runs": [[one.spec.name, one.spec.model] for one in spec.compared],
    }
    key = artifact_key("comparison", reads, tuple(key for one in shows for key in one.keys))
    render = PlannedTask(id=RENDER.name, name=RENDER.name, key=key, shows=shows)
    return Plan(steps=(), tasks=(render,))


def _training(spec: RunSpec) -> Plan:
    steps, captured = _steps(spec.capture, spec.train)
    fields = spec.model_dump(mode="json") | {"figures": versions()}
    made: dict[str, tuple[PlannedTask, ...]] = {}
    for stage in STAGES.values():
        reads = _read(fields, stage.reads)
        needs = tuple(task.id for name in stage.needs for task in made[name])
        inputs = tuple(task.key for name in stage.inputs for task in made[name])
        if stage.tasks == "frame":
            keys = _indexed_keys(stage.name, reads, count=len(captured))
            made[stage.name] = tuple(
                PlannedTask(id=f"{stage.name}/{index:05d}", name=stage.name, key=key, needs=needs, index=index)
                for index, key in enumerate(keys)
            )
        else:
            key = artifact_key(stage.name, reads, inputs)
            made[stage.name] = (PlannedTask(id=stage.name, name=stage.name, key=key, needs=needs),)
    (training,) = made[FINE_TUNE.name]
    parts = _parts(spec, made[EMBED.name], steps=steps, captured=captured, reads=_read(fields, EMBED.reads))
    made[FINE_TUNE.name] = (training.model_copy(update={"parts": tuple(parts)}),)
    return Plan(steps=steps, tasks=tuple(task for tasks in made.values() for task in tasks))


def _read(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields with these dotted names."""
    return {name: reduce(getitem, name.split("."), fields) for name in names}


def _steps(capture: CaptureSpec, train: TrainSpec) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Return the steps at which a checkpoint may be captured, and the step of each frame.

    The steps include the end of each phase. With capture by drift, the step of a frame is None.
    """
    through = train.phase_ends[:-1]
    if capture.spacing == "drift":
        return candidate_steps(train.steps, capture.frames, through=through), (None,) * capture.frames
    known = capture_steps(train.steps, capture.frames, spacing=capture.spacing, through=through)
    return known, known


def _parts(
    spec: RunSpec,
    embeds: tuple[PlannedTask, ...],
    *,
    steps: tuple[int, ...],
    captured: tuple[int | None, ...],
    reads: Mapping[str, Any],
) -> Iterator[Part]:
    """Return the parts of a training: its frames, or its checkpoints with capture.mode "offload"; and kept weights."""
    if spec.capture.mode == "inline":
        for task, step in zip(embeds, captured, strict=True):
            yield Part(id=task.id, key=task.key, task=task.id, effect="completes", step=step)
    else:
        keys = _indexed_keys("checkpoint", reads, count=len(embeds))
        for task, key, step in zip(embeds, keys, captured, strict=True):
            yield Part(id=f"checkpoint/{task.index:05d}", key=key, task=task.id, effect="releases", step=step)
    for step in {"none": (), "last": steps[-1:], "all": steps}[spec.train.keep_weights]:
        key = artifact_key("weights", {**reads, "step": step})
        yield Part(id=f"weights/{step:07d}", key=key, task=FINE_TUNE.name, effect="keeps", step=step)


def state_key(run_id: str, task_id: str, *, token: int, step: int) -> str:
    """Return the key of a saved state. It names the run and the attempt, so no other run shares the state."""
    return artifact_key("state", {"run": run_id, "stage": task_id, "token": token, "step": step})
