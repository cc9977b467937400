"""The figures of a run: which are there, why others are not, and their files. All of it follows from the table."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from api.http.files import StoredFile
from api.http.ids import run_of
from api.runs.artifacts import RunArtifacts, not_there
from core.domain.figures import DRAWN_FILE, DrawnFigures, FigureFormat, FigureInput, FigureSpec, declared
from core.domain.stages import RENDER
from core.errors import NotFoundError
from core.store.database.tables import ArtifactRow, RunRow
from core.store.objects.stored import Stored
from core.store.queries import artifacts


class FigureOut(BaseModel):
    """A figure of a run."""

    name: str
    title: str
    shows: Annotated[str, Field(description="What is to be seen, in a sentence.")]
    formats: Annotated[tuple[FigureFormat, ...], Field(description="The first is the default.")]
    reads: Annotated[tuple[FigureInput, ...], Field(description="What it is drawn from.")]
    available: Annotated[bool, Field(description="Whether it is there, in all its formats.")]
    reason: Annotated[str | None, Field(description="Why it is not there.")]
    links: Annotated[dict[FigureFormat, str], Field(description="Its address in each format.")]


class FigureList(BaseModel):
    """The figures that this service knows, in the order of their table."""

    figures: list[FigureOut]


def describe(spec: FigureSpec, run_id: str, *, reason: str | None) -> FigureOut:
    """A figure of a run; `reason` says why it is not there, None: it is."""
    links = {suffix: f"/v1/runs/{run_id}/figures/{spec.name}.{suffix}" for suffix in spec.formats}
    shared = spec.model_dump(include={"name", "title", "shows", "formats", "reads"})
    return FigureOut(**shared, available=reason is None, reason=reason, links=links)


def figures(results: RunArtifacts, run_id: str) -> FigureList:
    """All figures of a run.

    Raises:
        NotFoundError: there is no such run.
    """
    run, row = _render(results, run_id)
    reasons = _reasons(results, run, row)
    return FigureList(figures=[describe(spec, run_id, reason=reasons[spec.name]) for spec in declared().values()])


def file(results: RunArtifacts, run_id: str, name: str, suffix: str | None = None) -> tuple[StoredFile, FigureFormat]:
    """One figure's file, and its format.

    Args:
        results: of the tenant that asks.
        run_id: the run.
        name: the figure.
        suffix: the format; None: the figure's default.

    Raises:
        NotFoundError: there is no such run, figure or format, or the figure could not be drawn.
        NotReadyError: the run has not been drawn yet.
    """
    spec = declared().get(name)
    if spec is None:
        raise NotFoundError(f"There is no figure {name!r}. There are: {', '.join(declared())}.")
    asked = spec.formats[0] if suffix is None else next((one for one in spec.formats if one == suffix), None)
    if asked is None:
        raise NotFoundError(f"The figure {name} has no format {suffix!r}. It has: {', '.join(spec.formats)}.")
    run, row = _render(results, run_id)
    if row is not None and spec.file(asked) not in row.files:
        raise NotFoundError(f"Run {run_id} has no figure {name}.{asked}. {_reasons(results, run, row)[name]}")
    return results.file(run_id, RENDER.name, spec.file(asked)), asked


def _render(results: RunArtifacts, run_id: str) -> tuple[RunRow, ArtifactRow | None]:
    """The run, and what its last stage has made; None while it has not."""
    with results.database.reading() as session:
        run = run_of(session, run_id, results.tenant)
        return run, artifacts.artifact(session, run, RENDER.name)


def _reasons(results: RunArtifacts, run: RunRow, row: ArtifactRow | None) -> Mapping[str, str | None]:
    """By figure, why it is not there; None where it is."""
    specs = declared().values()
    if row is None:
        waiting = str(not_there(run, RENDER.name))
        return {spec.name: waiting for spec in specs}
    reasons: dict[str, str | None] = {spec.name: None for spec in specs}
    missing = [spec.name for spec in specs if not set(spec.files) <= set(row.files)]
    if missing:
        record = _record(results, row)
        older = f"An older version has drawn the run. POST /v1/runs/{run.id}/renders draws it anew: nothing is trained."
        reasons |= {name: (record.why_missing(name) if record else None) or older for name in missing}
    return reasons


def _record(results: RunArtifacts, row: ArtifactRow) -> DrawnFigures | None:
    """What the render tells of its figures; None: it is older than that."""
    if DRAWN_FILE not in row.files:
        return None
    path = results.store.file(Stored(row.location, row.files), DRAWN_FILE)
    return DrawnFigures.model_validate_json(path.read_text())
