"""Bodies of requests and answers. Sections of a run are the spec's own, so a field is written once."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.http.names import NAME_LENGTH, Name
from core.data import sources
from core.domain import hub_dataset, resolve
from core.domain.frozen import Frozen
from core.domain.phases import LayerDecay
from core.domain.run import RunStatus, StageStatus
from core.domain.spec import (
    AlignSpec,
    CaptureSpec,
    DatasetFacts,
    PinnedSources,
    ProjectSpec,
    RenderSpec,
    RunSpec,
    ScoreSpec,
    TrainSpec,
)

EXAMPLE = {
    "name": "digits",
    "dataset": "digits",
    "model": "vit-tiny",
    "train": {"steps": 300, "batch_size": 64, "learning_rate": 1e-3, "seed": 0},
    "capture": {"frames": 60, "spacing": "even", "probe_size": 1000, "mode": "inline"},
    "score": {"method": "knn_distance", "k": 10},
    "project": {"method": "smooth_pca"},
    "align": {"method": "none"},
    "render": {"width": 960, "height": 960, "fps": 12, "formats": ["gif"], "leaderboard": 8},
}


class RunCreate(Frozen):
    """A run to be made. Only `dataset` is required."""

    name: Name | None = None
    dataset: Annotated[
        str,
        Field(
            min_length=1,
            max_length=hub_dataset.MAX_LENGTH,
            description="`digits`, the id of an uploaded dataset, or `hub:<id>`, behind which a `?` may choose: "
            "`config`, a configuration of the dataset; `image` and `label`, columns; `train`, a split; `evaluation`, a "
            "split or the share of the training split that is held out. `hub:<id>?evaluation=test&label=species`; the "
            "run tells it sorted and without defaults.",
        ),
    ]
    model: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            description="One of GET /v1/models, or `run:<id>`: the last weights of a run that has kept them "
            "(`train.keep_weights`). Its head is kept if the classes have the same names in the same order; otherwise, "
            "however many there are, a new one is drawn by `train.seed`.",
        ),
    ] = "vit-tiny"
    train: TrainSpec = TrainSpec()
    capture: CaptureSpec = CaptureSpec()
    score: ScoreSpec = ScoreSpec()
    project: ProjectSpec = ProjectSpec()
    align: AlignSpec = AlignSpec()
    render: RenderSpec = RenderSpec()

    def to_spec(self, facts: DatasetFacts | None, pinned: PinnedSources, *, title: str, decay: LayerDecay) -> RunSpec:
        """The complete spec.

        Args:
            facts: of the dataset; None where only a worker can find them out.
            pinned: the digest of the dataset and the revision of the model.
            title: of the dataset, for a run without a name.
            decay: see `core.domain.resolve.complete`.

        Raises:
            InvalidSpecError: a field that the user wrote does not fit; `field` names it.
        """
        written = RunSpec(
            name=self.name or f"{title}, {self.model}"[:NAME_LENGTH],
            dataset=sources.canonical(self.dataset),
            model=self.model,
            train=self.train,
            capture=self.capture,
            score=self.score,
            project=self.project,
            align=self.align,
            render=self.render,
            pinned=pinned,
        )
        return resolve.complete(written, facts, decay=decay)


class RenderCreate(Frozen):
    """How to draw a run otherwise.

    A field that is left out stays as it was, and so does a section, or the name, that is null. A null inside a section
    is a value: `{"project": {"smoothing": null}}` chooses the smoothing automatically again.
    """

    name: Name | None = None
    score: ScoreSpec | None = None
    project: ProjectSpec | None = None
    align: AlignSpec | None = None
    render: RenderSpec | None = None

    def to_spec(self, drawn: RunSpec) -> RunSpec:
        """The spec of `drawn` with the fields that are written here; see `core.domain.resolve.redrawn`."""
        written = {part: fields for part, fields in self.model_dump(exclude_unset=True).items() if fields is not None}
        return resolve.redrawn(drawn, written)


class Progress(BaseModel):
    """How far a stage is, in units of its own: steps, or frames."""

    done: int
    total: int


class StageOut(BaseModel):
    """A stage, its tasks taken together."""

    name: str
    status: StageStatus
    progress: Progress
    unit: Annotated[Literal["steps", "frames"], Field(description="The unit of its progress.")]
    attempt: Annotated[int, Field(description="Most attempts of one of its tasks, without those given back in order.")]
    reused: Annotated[bool, Field(description="It was stored already, by another run.")]
    started_at: datetime | None
    finished_at: datetime | None


class PlannedOut(BaseModel):
    """A stage of the plan: its tasks, and the queue that they wait in."""

    name: str
    tasks: int
    queue: str


class PlanOut(BaseModel):
    """What the run will do."""

    steps: Annotated[list[int], Field(description="Optimiser steps of the checkpoints.")]
    stages: list[PlannedOut]


class ProblemOut(BaseModel):
    """What went wrong (RFC 9457)."""

    type: Annotated[str, Field(description="Stable; an address that explains it.")]
    title: str
    detail: str
    status: int | None = None
    field: Annotated[str | None, Field(description="Path of the field at fault.")] = None
    errors: Annotated[list[dict[str, Any]] | None, Field(description="All faults, where there are several.")] = None
    request_id: Annotated[str | None, Field(description="Of a failure: what the log calls this request.")] = None


class Links(BaseModel):
    """Addresses of what belongs to a run."""

    self: str
    events: str
    stream: str
    cancel: str
    retry: str
    renders: str
    checkpoints: str
    film: Annotated[str | None, Field(description="null until the film is there.")]
    model: Annotated[
        str | None, Field(description="The trained model; null until it is there, and where no weights are kept.")
    ]
    comparison: Annotated[
        str | None, Field(description="Of a run that draws a comparison, its table; such a run has no results below.")
    ]
    projection: str
    outliers: str
    quality: str
    highlights: str
    evaluation: str
    label_issues: str
    log: str
    curves: str
    figures: str


class RunOut(BaseModel):
    """A run."""

    id: str
    name: str
    status: RunStatus
    version: Annotated[int, Field(description="Rises with every change.")]
    spec: RunSpec
    plan: PlanOut
    stages: list[StageOut]
    queue_position: Annotated[
        int | None,
        Field(
            description="Runs ahead of it in the queue: 0, it is next; 1000, that many or more; null, it is not queued."
        ),
    ]
    eta_seconds: Annotated[
        float | None, Field(description="Time left; null before there is something to go by, and after the end.")
    ]
    error: dict[str, Any] | None
    notice: Annotated[str | None, Field(description="What keeps the run waiting, and what to do about it.")]
    drawn_from: Annotated[str | None, Field(description="The run that this one draws otherwise.")]
    links: Links
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunPage(BaseModel):
    """Some runs, newest first."""

    runs: list[RunOut]
    next_cursor: Annotated[str | None, Field(description="Where the next page begins; null at the end.")]


class CheckpointOut(BaseModel):
    """A checkpoint that is embedded; null where nothing was measured."""

    index: int
    step: int
    epoch: float
    loss: Annotated[float | None, Field(description="Mean cross-entropy over the probe set.")]
    accuracy: Annotated[float | None, Field(description="Share of the probe images predicted right.")]


class CheckpointList(BaseModel):
    """The checkpoints of a run that are embedded so far, in order."""

    checkpoints: list[CheckpointOut]
