"""A run's plan: which stages, in which order, and the key of what each one makes.

`build(spec)` is pure. The API returns it with the 202 and the worker walks the same value. A key is a hash of all
that decides a stage's output, so "is this key stored?" is the whole of resume, retry and re-render.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from core.domain.figures import OF_COMPARISON, versions
from core.domain.frozen import Frozen
from core.domain.schedule import candidate_steps, capture_steps
from core.domain.spec import CaptureSpec, RunSpec, TrainSpec


class StageName(StrEnum):
    """One word a stage, through every layer."""

    FINE_TUNE = "fine_tune"
    EMBED = "embed"
    SCORE = "score"
    PROJECT = "project"
    MEASURE = "measure"
    RENDER = "render"


class Queue(StrEnum):
    """Where a stage's bell is rung."""

    GPU = "gpu"
    CPU = "cpu"


QUEUES: Mapping[StageName, Queue] = {
    StageName.FINE_TUNE: Queue.GPU,
    StageName.EMBED: Queue.GPU,
    StageName.SCORE: Queue.GPU,
    StageName.PROJECT: Queue.GPU,
    StageName.MEASURE: Queue.GPU,
    StageName.RENDER: Queue.CPU,
}

FORMATS: Mapping[str, int] = {
    **dict.fromkeys(StageName, 1),
    # 2: what training draws at random follows from the seed and the step, so that it can go on in the middle.
    # 3: probe images that are nearly training images are told too. 4, 5: of a ViT's last layer only the class token is
    # computed, then without keys and values, and gradients of depthwise weights another way: other rounding.
    StageName.FINE_TUNE: 5,
    # 3: how sure the model is of each prediction is told too; at the last checkpoint, of every class. 4, 5: as above.
    StageName.EMBED: 5,
    # 2: the neighbours of some images are kept, for what is measured later.
    StageName.SCORE: 2,
    # 3: what each frame's own best plane would show is told too. 4, 5: axes are iterated to another tolerance, and from
    # other ones.
    StageName.PROJECT: 5,
    # 2: standing still is told by the step. 3: and by how far the shape moves, wherever it is. 4: the last frame is
    # laid out by t-SNE too. 5: the end of each phase is evaluated, and labels that look wrong are told.
    StageName.MEASURE: 5,
    # 3: text is set in other fonts too. 4: numbers beside rings keep off each other, names that are cut stay unlike.
    # 5: captions stay until they can have been read. 6: loss and accuracy are drawn as a figure of their own too. 7:
    # which figures it draws follows from their table, and it tells which of them are there.
    StageName.RENDER: 7,
    # 3, 4: trained with other rounding, as above; so are weights.
    "checkpoint": 4,
    "comparison": 1,
    # 2: a folder in Hugging Face format.
    "weights": 4,
    "state": 1,
}
"""Raise a number when what that stage writes, or how it computes it, changes: stored artifacts of the old format are
then made anew."""


_LATER = frozenset({"lora", "early_stopping"})
"""Fields of `train` that came later: where they are null, what was trained before has the key that it had."""

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
    name: StageName
    key: str
    needs: tuple[str, ...] = ()
    index: int | None = None
    parts: tuple[Part, ...] = ()
    shows: tuple[ComparedArtifacts, ...] = ()

    @property
    def queue(self) -> Queue:
        """Where its bell is rung."""
        return QUEUES[self.name]


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

    def named(self, name: StageName) -> tuple[PlannedStage, ...]:
        """All stages of this name, in order."""
        return tuple(stage for stage in self.stages if stage.name is name)


def artifact_key(stage: str, reads: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    """SHA-256 over the stage's name and format, the spec fields that it reads, and its inputs' keys."""
    return hashlib.sha256(_identity(stage, reads, inputs).encode()).hexdigest()


def _identity(stage: str, reads: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    identity = {"stage": stage, "format": FORMATS[stage], "reads": dict(reads), "inputs": inputs}
    return json.dumps(identity, sort_keys=True, separators=(",", ":"))


def _indexed_keys(stage: str, reads: Mapping[str, Any], *, count: int) -> tuple[str, ...]:
    """`artifact_key` of each index below `count`, which is read too. What they share is put into JSON once."""
    before, after = _identity(stage, {**reads, "index": "?"}).split('"index":"?"')
    return tuple(hashlib.sha256(f'{before}"index":{index}{after}'.encode()).hexdigest() for index in range(count))


def build(spec: RunSpec) -> Plan:
    """The plan of a run, from its spec alone."""
    return _comparison(spec) if spec.compared else _training(spec)


def _comparison(spec: RunSpec) -> Plan:
    """Nothing but a film, of what other runs have made."""
    plans = [build(one.spec) for one in spec.compared]
    shows = tuple(
        ComparedArtifacts(
            fine_tune=plan.stage("fine_tune").key,
            embeds=tuple(stage.key for stage in plan.named(StageName.EMBED)),
            project=plan.stage("project").key,
            measure=plan.stage("measure").key,
        )
        for plan in plans
    )
    reads = {
        "render": spec.render.model_dump(mode="json"),
        "drawing": FORMATS[StageName.RENDER],
        "figures": versions(OF_COMPARISON),
        "name": spec.name,
        "runs": [[one.spec.name, one.spec.model] for one in spec.compared],
    }
    key = artifact_key("comparison", reads, tuple(key for one in shows for key in one.keys))
    render = PlannedStage(id="render", name=StageName.RENDER, key=key, shows=shows)
    return Plan(steps=(), stages=(render,))


def _training(spec: RunSpec) -> Plan:
    steps, captured = _steps(spec.capture, spec.train)
    fields = spec.model_dump(mode="json")
    train = {name: value for name, value in fields["train"].items() if value is not None or name not in _LATER}
    learned = {name: fields[name] for name in ("dataset", "model", "capture", "pinned")} | {"train": train}
    embedded = learned | {"capture": {k: v for k, v in fields["capture"].items() if k != "mode"}}

    frames = [f"{index:05d}" for index in range(len(captured))]
    embed_keys = _indexed_keys(StageName.EMBED, embedded, count=len(captured))
    made = (
        _frames(captured, frames, embed_keys)
        if spec.capture.mode == "inline"
        else _checkpoints(captured, frames, embedded)
    )
    fine_tune = PlannedStage(
        id="fine_tune",
        name=StageName.FINE_TUNE,
        key=artifact_key(StageName.FINE_TUNE, learned),
        parts=(*made, *_weights(steps, embedded, kept=spec.train.keep_weights)),
    )
    embeds = tuple(
        PlannedStage(id=f"embed/{frame}", name=StageName.EMBED, key=key, index=index)
        for index, (frame, key) in enumerate(zip(frames, embed_keys, strict=True))
    )
    embed_ids = tuple(stage.id for stage in embeds)
    score = PlannedStage(
        id="score",
        name=StageName.SCORE,
        key=artifact_key(StageName.SCORE, {"score": fields["score"]}, embed_keys),
        needs=("fine_tune", *embed_ids),
    )
    project = PlannedStage(
        id="project",
        name=StageName.PROJECT,
        key=artifact_key(StageName.PROJECT, {"project": fields["project"], "align": fields["align"]}, embed_keys),
        needs=("fine_tune", *embed_ids),
    )
    seen = (fine_tune.key, *embed_keys, score.key, project.key)
    measure = PlannedStage(
        id="measure",
        name=StageName.MEASURE,
        key=artifact_key(StageName.MEASURE, {"project": fields["project"], "align": fields["align"]}, seen),
        needs=("fine_tune", *embed_ids, "score", "project"),
    )
    drawn = {"render": fields["render"], "name": spec.name, "figures": versions()}
    render = PlannedStage(
        id="render",
        name=StageName.RENDER,
        key=artifact_key(StageName.RENDER, drawn, (*seen, measure.key)),
        needs=("fine_tune", *embed_ids, "score", "project", "measure"),
    )
    return Plan(steps=steps, stages=(fine_tune, *embeds, score, project, measure, render))


def _steps(capture: CaptureSpec, train: TrainSpec) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Steps at which training stops to capture or to ask whether to; and the step of each frame, where it is known.

    The end of each phase is among them.
    """
    through = train.phase_ends[:-1]
    if capture.spacing == "drift":
        return candidate_steps(train.steps, capture.frames, through=through), (None,) * capture.frames
    known = capture_steps(train.steps, capture.frames, spacing=capture.spacing, through=through)
    return known, known


def _frames(steps: tuple[int | None, ...], frames: list[str], keys: tuple[str, ...]) -> Iterator[Part]:
    for step, frame, key in zip(steps, frames, keys, strict=True):
        yield Part(id=f"embed/{frame}", key=key, stage=f"embed/{frame}", effect="completes", step=step)


def _checkpoints(steps: tuple[int | None, ...], frames: list[str], reads: Mapping[str, Any]) -> Iterator[Part]:
    keys = _indexed_keys("checkpoint", reads, count=len(frames))
    for key, step, frame in zip(keys, steps, frames, strict=True):
        yield Part(id=f"checkpoint/{frame}", key=key, stage=f"embed/{frame}", effect="releases", step=step)


def _weights(steps: tuple[int, ...], reads: Mapping[str, Any], *, kept: str) -> Iterator[Part]:
    wanted = {"none": (), "last": steps[-1:], "all": steps}[kept]
    for step in wanted:
        key = artifact_key("weights", {**reads, "step": step})
        yield Part(id=f"weights/{step:07d}", key=key, stage=StageName.FINE_TUNE, effect="keeps", step=step)


def state_key(run_id: str, stage_id: str, *, token: int, step: int) -> str:
    """Key of what a training continues from: of one run and one attempt, never shared."""
    return artifact_key("state", {"run": run_id, "stage": stage_id, "token": token, "step": step})
