"""Request and response bodies for runs. Sections of a run are models of the spec, so no field is declared twice."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.http.names import NAME_LENGTH, Name
from core.data import sources
from core.domain import hub_dataset, resolve
from core.domain.frozen import Frozen
from core.domain.phases import LayerDecay
from core.domain.run import RunStatus, TaskStatus
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
    """A request for a run. Only `dataset` is required."""

    name: Name | None = None
    dataset: Annotated[
        str,
        Field(
            min_length=1,
            max_length=hub_dataset.MAX_LENGTH,
            description="`digits`, the id of an uploaded dataset, or `hub:<id>`. Options may follow a hub id after a "
            "`?`, joined by `&`: `config` (configuration of the dataset), `image` and `label` (columns), `train` "
            "(split), `evaluation` (split, or the fraction of each class of the training split that is held out). "
            "Example: `hub:<id>?evaluation=test&label=species`. The stored spec has the options sorted and without "
            "defaults.",
        ),
    ]
    model: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            description="An id from GET /v1/models, or `run:<id>` for the last weights of a run that keeps weights "
            "(`train.keep_weights`). The head of these weights is kept if the classes have the same names in the same "
            "order. Otherwise a new head is initialised at random from `train.seed`.",
        ),
    ] = "vit-tiny"
    train: TrainSpec = TrainSpec()
    capture: CaptureSpec = CaptureSpec()
    score: ScoreSpec = ScoreSpec()
    project: ProjectSpec = ProjectSpec()
    align: AlignSpec = AlignSpec()
    render: RenderSpec = RenderSpec()

    def to_spec(self, facts: DatasetFacts | None, pinned: PinnedSources, *, title: str, decay: LayerDecay) -> RunSpec:
        """Return the complete spec: all defaults are resolved.

        Args:
            facts: facts about the dataset; None if they are unknown until a worker loads the dataset.
            pinned: the digest of the dataset and the revision of the model.
            title: name of the dataset, used if the request has no name.
            decay: decay of the model's learning rates towards the input, for the recipe `two_phase`.

        Raises:
            InvalidSpecError: a value that the user wrote does not fit; `field` is the path of the value.
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
    """Changes for a new drawing of a run.

    A field that is left out keeps its value. A section or `name` that is null also keeps its value. A null inside a
    section is a value: `{"project": {"smoothing": null}}` makes the service choose the smoothing.
    """

    name: Name | None = None
    score: ScoreSpec | None = None
    project: ProjectSpec | None = None
    align: AlignSpec | None = None
    render: RenderSpec | None = None

    def to_spec(self, drawn: RunSpec) -> RunSpec:
        """Return the spec `drawn` with these changes.

        Args:
            drawn: spec of the run that is drawn again.

        Raises:
            InvalidSpecError: a change does not fit; see `core.domain.resolve.redrawn`.
        """
        written = {part: fields for part, fields in self.model_dump(exclude_unset=True).items() if fields is not None}
        return resolve.redrawn(drawn, written)


class Progress(BaseModel):
    """Progress of a stage: `done` of `total` units. The field `unit` of the stage names the unit."""

    done: int
    total: int


class StageOut(BaseModel):
    """A stage of a run, summed over its tasks."""

    name: str
    status: TaskStatus
    progress: Progress
    unit: Annotated[Literal["steps", "frames"], Field(description="Unit of `progress`.")]
    attempt: Annotated[
        int,
        Field(
            description="Largest attempt number of its tasks. Attempts that a stopping worker gives back do not count."
        ),
    ]
    reused: Annotated[bool, Field(description="True if all tasks used results that were stored before.")]
    started_at: datetime | None
    finished_at: datetime | None


class PlannedOut(BaseModel):
    """A stage of the plan: its number of tasks, and the queue of the tasks."""

    name: str
    tasks: int
    queue: str


class PlanOut(BaseModel):
    """The plan of a run: its captured steps and its stages."""

    steps: Annotated[
        list[int],
        Field(description="Optimiser steps of the checkpoints. With `capture.spacing` drift, all candidate steps."),
    ]
    stages: list[PlannedOut]


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: Annotated[str, Field(description="Stable path of a page that explains the error.")]
    title: str
    detail: str
    status: int | None = None
    field: Annotated[str | None, Field(description="Path of the invalid field.")] = None
    errors: Annotated[list[dict[str, Any]] | None, Field(description="All faults of an invalid request.")] = None
    request_id: Annotated[str | None, Field(description="Id of this request in the log, if the service failed.")] = None


class Links(BaseModel):
    """Paths of a run's resources."""

    self: str
    events: str
    stream: str
    cancel: str
    retry: str
    renders: str
    checkpoints: str
    film: Annotated[str | None, Field(description="null until the run has succeeded.")]
    model: Annotated[
        str | None,
        Field(description="The trained model; null until the training has finished, or if no weights are kept."),
    ]
    comparison: Annotated[
        str | None,
        Field(
            description="The comparison that this run draws; null for other runs. A comparison has no results below."
        ),
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
    """A run: its spec, plan, progress and links."""

    id: str
    name: str
    status: RunStatus
    version: Annotated[int, Field(description="Number that rises with every change of the run.")]
    spec: RunSpec
    plan: PlanOut
    stages: list[StageOut]
    queue_position: Annotated[
        int | None,
        Field(
            description="Number of runs ahead in the queue. 0: the run is next. 1000: 1000 or more. null: not queued."
        ),
    ]
    eta_seconds: Annotated[
        float | None,
        Field(
            description="Estimated seconds until the film is ready; null unless the run is running and has progress."
        ),
    ]
    error: dict[str, Any] | None
    notice: Annotated[
        str | None,
        Field(description="If no live worker serves a queue that the run needs: what to do. Otherwise null."),
    ]
    drawn_from: Annotated[
        str | None, Field(description="Id of the run whose training this run draws again; null for other runs.")
    ]
    links: Links
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunPage(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunOut]
    next_cursor: Annotated[str | None, Field(description="Cursor of the next page; null on the last page.")]


class CheckpointOut(BaseModel):
    """A checkpoint whose embeddings are stored. `index` is its frame in the film, `step` its optimiser step."""

    index: int
    step: int
    epoch: float
    loss: Annotated[
        float | None, Field(description="Mean cross-entropy over the probe set; null if not measured or not finite.")
    ]
    accuracy: Annotated[
        float | None, Field(description="Fraction of the probe images that are predicted correctly, 0 to 1.")
    ]


class CheckpointList(BaseModel):
    """The checkpoints of a run whose embeddings are stored so far, in order."""

    checkpoints: list[CheckpointOut]
