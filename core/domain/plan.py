"""A run's plan: which stages, in which order, and the key of what each one makes.

`build(spec)` is pure. The API returns it with the 202 and the worker walks the same value. A key is a hash of all
that decides a stage's output, so "is this key stored?" is the whole of resume, retry and re-render.
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
"""Of artifacts that are not a stage's own: raise a number as `StageSpec.format`."""


SKIPPED = "skipped"
"""Of a frame that its training has ended before: the file of its artifact; and what its facts tell, without a step."""


class Part(Frozen):
    """An artifact that a stage publishes while it runs.

    `completes`: the other stage is done with it (a frame embedded during training); `releases`: the other stage can
    start with it (a checkpoint to be embedded by any worker); `keeps`: it is for the user (weights), and `stage` is the
    one that makes it; `step` is the optimiser step that it is of, None where only the training will tell.
    """

    id: str
    key: str
    stage: str
    effect: Literal["completes", "releases", "keeps"]
    step: int | None = None


class ComparedArtifacts(Frozen):
    """What a comparison reads of a run that it shows: keys of that run's artifacts."""

    fine_tune: str
    embeds: tuple[str, ...]
    project: str
    measure: str

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them."""
        return (self.fine_tune, *self.embeds, self.project, self.measure)


class PlannedStage(Frozen):
    """One task: its id within the run, what it needs, what it shows of other runs, the key of what it makes."""

    id: str
    name: str
    key: str
    needs: tuple[str, ...] = ()
    index: int | None = None
    parts: tuple[Part, ...] = ()
    shows: tuple[ComparedArtifacts, ...] = ()

    @property
    def queue(self) -> Queue:
        """The workers of this queue run it."""
        return STAGES[self.name].queue


class Plan(Frozen):
    """Stages in an order in which each comes after what it needs.

    `steps` are those at which a checkpoint is captured or, where the model's drift decides, may be.
    """

    steps: tuple[int, ...]
    stages: tuple[PlannedStage, ...]

    def stage(self, stage_id: str) -> PlannedStage:
        """The stage of this id."""
        return self._by_id[stage_id]

    @cached_property
    def _by_id(self) -> dict[str, PlannedStage]:
        return {stage.id: stage for stage in self.stages}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all that the run makes: a stage's artifact, then its parts."""
        return tuple(key for stage in self.stages for key in (stage.key, *(part.key for part in stage.parts)))

    def inputs(self, stage: PlannedStage) -> tuple[str, ...]:
        """Keys of the artifacts that a stage reads."""
        shown = (key for one in stage.shows for key in one.keys)
        return (*(self.stage(need).key for need in stage.needs), *self.released_to(stage.id), *shown)

    def released_to(self, stage_id: str) -> tuple[str, ...]:
        """Keys of the parts that a stage starts with."""
        parts = (part for stage in self.stages for part in stage.parts)
        return tuple(part.key for part in parts if part.stage == stage_id and part.effect == "releases")

    def tasks(self, stage: StageSpec) -> tuple[PlannedStage, ...]:
        """All tasks of a stage, in order."""
        return tuple(task for task in self.stages if task.name == stage.name)


def artifact_key(kind: str, reads: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    """SHA-256 over the name and format of a stage or part, the fields that it reads, and the keys of its inputs."""
    return hashlib.sha256(_identity(kind, reads, inputs).encode()).hexdigest()


def _identity(kind: str, reads: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    number = STAGES[kind].format if kind in STAGES else PART_FORMATS[kind]
    identity = {"stage": kind, "format": number, "reads": dict(reads), "inputs": inputs}
    return json.dumps(identity, sort_keys=True, separators=(",", ":"))


def _indexed_keys(kind: str, reads: Mapping[str, Any], *, count: int) -> tuple[str, ...]:
    """`artifact_key` of each index below `count`, which is read too. The common text is put into JSON once."""
    before, after = _identity(kind, {**reads, "index": "?"}).split('"index":"?"')
    return tuple(hashlib.sha256(f'{before}"index":{index}{after}'.encode()).hexdigest() for index in range(count))


def build(spec: RunSpec) -> Plan:
    """The plan of a run, from its spec alone."""
    return _comparison(spec) if spec.compared else _training(spec)


def _comparison(spec: RunSpec) -> Plan:
    """Nothing but a film, of what other runs have made."""
    plans = [build(one.spec) for one in spec.compared]
    shows = tuple(
        ComparedArtifacts(
            fine_tune=plan.stage(FINE_TUNE.name).key,
            embeds=tuple(task.key for task in plan.tasks(EMBED)),
            project=plan.stage(PROJECT.name).key,
            measure=plan.stage(MEASURE.name).key,
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
    render = PlannedStage(id=RENDER.name, name=RENDER.name, key=key, shows=shows)
    return Plan(steps=(), stages=(render,))


def _training(spec: RunSpec) -> Plan:
    steps, captured = _steps(spec.capture, spec.train)
    fields = spec.model_dump(mode="json") | {"figures": versions()}
    made: dict[str, tuple[PlannedStage, ...]] = {}
    for stage in STAGES.values():
        reads = _read(fields, stage.reads)
        needs = tuple(task.id for name in stage.needs for task in made[name])
        inputs = tuple(task.key for name in stage.inputs for task in made[name])
        if stage.tasks == "frame":
            keys = _indexed_keys(stage.name, reads, count=len(captured))
            made[stage.name] = tuple(
                PlannedStage(id=f"{stage.name}/{index:05d}", name=stage.name, key=key, needs=needs, index=index)
                for index, key in enumerate(keys)
            )
        else:
            key = artifact_key(stage.name, reads, inputs)
            made[stage.name] = (PlannedStage(id=stage.name, name=stage.name, key=key, needs=needs),)
    (training,) = made[FINE_TUNE.name]
    parts = _parts(spec, made[EMBED.name], steps=steps, captured=captured, reads=_read(fields, EMBED.reads))
    made[FINE_TUNE.name] = (training.model_copy(update={"parts": tuple(parts)}),)
    return Plan(steps=steps, stages=tuple(task for tasks in made.values() for task in tasks))


def _read(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of these dotted names."""
    return {name: reduce(getitem, name.split("."), fields) for name in names}


def _steps(capture: CaptureSpec, train: TrainSpec) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Steps at which training stops to capture or to ask whether to; and the step of each frame, where it is known.

    The end of each phase is among them.
    """
    through = train.phase_ends[:-1]
    if capture.spacing == "drift":
        return candidate_steps(train.steps, capture.frames, through=through), (None,) * capture.frames
    known = capture_steps(train.steps, capture.frames, spacing=capture.spacing, through=through)
    return known, known


def _parts(
    spec: RunSpec,
    embeds: tuple[PlannedStage, ...],
    *,
    steps: tuple[int, ...],
    captured: tuple[int | None, ...],
    reads: Mapping[str, Any],
) -> Iterator[Part]:
    """What a training publishes while it runs: frames or, to be embedded elsewhere, checkpoints; and weights."""
    if spec.capture.mode == "inline":
        for task, step in zip(embeds, captured, strict=True):
            yield Part(id=task.id, key=task.key, stage=task.id, effect="completes", step=step)
    else:
        keys = _indexed_keys("checkpoint", reads, count=len(embeds))
        for task, key, step in zip(embeds, keys, captured, strict=True):
            yield Part(id=f"checkpoint/{task.index:05d}", key=key, stage=task.id, effect="releases", step=step)
    for step in {"none": (), "last": steps[-1:], "all": steps}[spec.train.keep_weights]:
        key = artifact_key("weights", {**reads, "step": step})
        yield Part(id=f"weights/{step:07d}", key=key, stage=FINE_TUNE.name, effect="keeps", step=step)


def state_key(run_id: str, stage_id: str, *, token: int, step: int) -> str:
    """Key of what a training continues from: of one run and one attempt, never shared."""
    return artifact_key("state", {"run": run_id, "stage": stage_id, "token": token, "step": step})
