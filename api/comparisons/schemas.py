"""Request and response bodies for comparisons."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from api.http.names import NAME_LENGTH, Name
from core.domain import comparison
from core.domain.evaluation import PhaseReached
from core.domain.frozen import Frozen
from core.domain.quality import Number
from core.domain.run import RunStatus
from core.domain.spec import ComparedRun, RenderSpec, RunSpec

_USUAL = {"width": 1280, "height": 720}


class ComparisonCreate(Frozen):
    """A request for a comparison of runs."""

    runs: Annotated[
        tuple[Annotated[str, Field(max_length=40)], ...],
        Field(
            min_length=comparison.FEWEST,
            max_length=comparison.MOST,
            description="Ids of runs that have succeeded, in the order of the panels. The runs must have the same "
            "`dataset`, `capture.probe_size` and `train.seed`, so that they show the same images.",
        ),
    ]
    name: Name | None = None
    render: Annotated[
        RenderSpec,
        Field(
            description="How the film is drawn. The default of `width` is 1280 and of `height` 720. `leaderboard`, "
            "`captions` and `card` have no effect on a comparison."
        ),
    ] = RenderSpec()

    def to_spec(self, runs: Sequence[ComparedRun]) -> RunSpec:
        """Return the complete spec of the run that draws the comparison.

        Args:
            runs: the compared runs, in the order of `self.runs`.

        Raises:
            InvalidSpecError: the runs do not show the same images, a run is listed twice or is a comparison, or
                `render.trails` names an image that is not in the probe set.
        """
        usual = {field: value for field, value in _USUAL.items() if field not in self.render.model_fields_set}
        name = self.name or " · ".join(dict.fromkeys(one.spec.name for one in runs))[:NAME_LENGTH]
        return comparison.compare(runs, name=name, render=self.render.model_copy(update=usual))


class ComparedOut(BaseModel):
    """A row of the table: one compared run."""

    run: str
    name: str
    model: str
    parameters: Annotated[
        int, Field(description="Number of parameters of the model, including the head for the dataset's classes.")
    ]
    phases: Annotated[list[PhaseReached], Field(description="Loss and accuracy at the end of each phase, in order.")]
    seconds: Annotated[
        Number,
        Field(
            description="Duration of the training, seconds, without loading and without embedding the probe set. If "
            "the training was resumed, the duration is extrapolated from the part after the last start. null: unknown."
        ),
    ]
    images_per_second: Annotated[
        Number, Field(description="Training images per second, measured like `seconds`; null if unknown.")
    ]


class ComparisonLinks(BaseModel):
    """Paths of a comparison's resources."""

    self: str
    run: Annotated[str, Field(description="The run that draws the film. Poll, stream, cancel, retry and delete it.")]
    film: Annotated[str | None, Field(description="null until the film is ready.")]


class ComparisonOut(BaseModel):
    """A comparison of runs: a table and a film."""

    id: Annotated[str, Field(description="Id of the comparison and of the run that draws its film.")]
    name: str
    status: Annotated[
        RunStatus, Field(description="Status of the run that draws the film. The table does not depend on it.")
    ]
    runs: list[ComparedOut]
    likeness: Annotated[
        comparison.RepresentationSimilarity | None,
        Field(description="Similarity of the runs' representations; null until the film is ready."),
    ]
    error: dict[str, Any] | None
    links: ComparisonLinks
    created_at: datetime
