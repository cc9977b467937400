"""The figures of a run: their descriptions, their files, and the reasons for missing figures.

The list of figures is `core.domain.figures.declared`.
"""

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
    """A figure of a run. `name` is the last part of its path, `title` its heading."""

    name: str
    title: str
    shows: Annotated[str, Field(description="Content of the figure, in one sentence.")]
    formats: Annotated[
        tuple[FigureFormat, ...], Field(description="Formats of the figure in this run; the first is the default.")
    ]
    reads: Annotated[tuple[FigureInput, ...], Field(description="Data that the figure is drawn from.")]
    available: Annotated[bool, Field(description="True if the figure is stored in all these formats.")]
    reason: Annotated[str | None, Field(description="Reason why the figure is missing; null if it is available.")]
    links: Annotated[dict[FigureFormat, str], Field(description="Path of the figure in each format.")]


class FigureList(BaseModel):
    """All figures of this service, in a fixed order."""

    figures: list[FigureOut]


def describe(spec: FigureSpec, run: RunRow, *, reason: str | None) -> FigureOut:
    """Return a figure as the API shows it.

    Args:
        spec: declaration of the figure.
        run: the run.
        reason: why the figure is missing; None if it is available.
    """
    formats = spec.formats_for(_film_formats(run))
    links = {suffix: f"/v1/runs/{run.id}/figures/{spec.name}.{suffix}" for suffix in formats}
    shared = spec.model_dump(include={"name", "title", "shows", "reads"})
    return FigureOut(**shared, formats=formats, available=reason is None, reason=reason, links=links)


def figures(results: RunArtifacts, run_id: str) -> FigureList:
    """Return all figures of a run.

    Raises:
        NotFoundError: the tenant has no such run.
    """
    run, row = _render(results, run_id)
    reasons = _reasons(results, run, row)
    return FigureList(figures=[describe(spec, run, reason=reasons[spec.name]) for spec in declared().values()])


def file(results: RunArtifacts, run_id: str, name: str, suffix: str | None = None) -> tuple[StoredFile, FigureFormat]:
    """Return the file of a figure, and its format.

    Args:
        results: artifacts of the caller's tenant.
        run_id: the run.
        name: name of the figure.
        suffix: the format; None means the default format of the figure.

    Raises:
        NotFoundError: the run, the figure or the format does not exist, or the figure could not be drawn.
        NotReadyError: the stage `render` has not finished.
    """
    spec = declared().get(name)
    if spec is None:
        raise NotFoundError(f"There is no figure {name!r}. The figures are: {', '.join(declared())}.")
    asked = spec.formats[0] if suffix is None else next((one for one in spec.formats if one == suffix), None)
    if asked is None:
        raise NotFoundError(f"The figure {name} has no format {suffix!r}. Its formats are: {', '.join(spec.formats)}.")
    run, row = _render(results, run_id)
    if asked not in spec.formats_for(_film_formats(run)):
        raise NotFoundError(
            f"Run {run_id} was drawn without the format {asked}. POST /v1/runs/{run_id}/renders with "
            f'{{"render": {{"formats": ["{asked}"]}}}} draws it, and trains nothing.'
        )
    if row is not None and spec.file(asked) not in row.files:
        raise NotFoundError(f"Run {run_id} has no figure {name}.{asked}. {_reasons(results, run, row)[name]}")
    return results.file(run_id, RENDER.name, spec.file(asked)), asked


def _film_formats(run: RunRow) -> tuple[str, ...]:
    return tuple(run.spec["render"]["formats"])


def _render(results: RunArtifacts, run_id: str) -> tuple[RunRow, ArtifactRow | None]:
    """Return the run and the artifact of its stage `render`; None if the stage has not succeeded."""
    with results.database.reading() as session:
        run = run_of(session, run_id, results.tenant)
        return run, artifacts.artifact(session, run, RENDER.name)


def _reasons(results: RunArtifacts, run: RunRow, row: ArtifactRow | None) -> Mapping[str, str | None]:
    """Return, for each figure, the reason why it is missing; None if it is available."""
    specs = declared().values()
    if row is None:
        waiting = str(not_there(run, RENDER.name))
        return {spec.name: waiting for spec in specs}
    reasons: dict[str, str | None] = {spec.name: None for spec in specs}
    formats = _film_formats(run)
    wanted = {spec.name: {spec.file(suffix) for suffix in spec.formats_for(formats)} for spec in specs}
    missing = [name for name, files in wanted.items() if not files <= set(row.files)]
    if missing:
        record = _record(results, row)
        older = f"An older version drew this run. POST /v1/runs/{run.id}/renders draws it again and trains nothing."
        reasons |= {name: (record.why_missing(name) if record else None) or older for name in missing}
    return reasons


def _record(results: RunArtifacts, row: ArtifactRow) -> DrawnFigures | None:
    """Return the record of the figures that `render` drew; None if an older version made the artifact."""
    if DRAWN_FILE not in row.files:
        return None
    path = results.store.file(Stored(row.location, row.files), DRAWN_FILE)
    return DrawnFigures.model_validate_json(path.read_text())
