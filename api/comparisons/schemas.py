"""Bodies of requests and answers about comparisons."""

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
    """Runs to be shown side by side."""

    runs: Annotated[
        tuple[Annotated[str, Field(max_length=40)], ...],
        Field(
            min_length=comparison.FEWEST,
            max_length=comparison.MOST,
            description="Ids of runs that have succeeded, in the order in which they are shown. They have the same "
            "dataset, `capture.probe_size` and `train.seed`, so that they show the same images.",
        ),
    ]
    name: Name | None = None
    render: Annotated[
        RenderSpec,
        Field(
            description="`width` is 1280 and `height` 720 unless they are written; of a comparison, `leaderboard`, "
            "`captions` and `card` say nothing."
        ),
    ] = RenderSpec()

    def to_spec(self, runs: Sequence[ComparedRun]) -> RunSpec:
        """The complete spec.

        Args:
            runs: those that are named.

        Raises:
            InvalidSpecError: they show no images in common, or a trail is asked for of an image that they have not.
        """
        usual = {field: value for field, value in _USUAL.items() if field not in self.render.model_fields_set}
        name = self.name or " · ".join(dict.fromkeys(one.spec.name for one in runs))[:NAME_LENGTH]
        return comparison.compare(runs, name=name, render=self.render.model_copy(update=usual))


class ComparedOut(BaseModel):
    """A line of the table."""

    run: str
    name: str
    model: str
    parameters: Annotated[int, Field(description="Of the model, its head with this dataset's classes included.")]
    phases: Annotated[list[PhaseReached], Field(description="In order; the last one is how the run ended.")]
    seconds: Annotated[
        Number,
        Field(
            description="That the training took, without loading and without embedding the probe set; where it was "
            "resumed, at the rate of its last part. null where that is not known."
        ),
    ]
    images_per_second: Annotated[Number, Field(description="Training images seen a second.")]


class ComparisonLinks(BaseModel):
    """Addresses of what belongs to a comparison."""

    self: str
    run: Annotated[str, Field(description="The run that draws it: poll, cancel, retry, delete, stream it there.")]
    film: Annotated[str | None, Field(description="null until the film is there.")]


class ComparisonOut(BaseModel):
    """Runs side by side: a table and a film."""

    id: Annotated[str, Field(description="Of the run that draws it, too.")]
    name: str
    status: Annotated[RunStatus, Field(description="Of the film; the table is there at once.")]
    runs: list[ComparedOut]
    likeness: Annotated[comparison.RepresentationSimilarity | None, Field(description="null until the film is there.")]
    error: dict[str, Any] | None
    links: ComparisonLinks
    created_at: datetime
