"""Build the API's representation of a comparison: the table of its runs, read from their artifacts."""

from sqlalchemy.orm import Session

from api.comparisons.schemas import ComparedOut, ComparisonLinks, ComparisonOut
from api.http.errors import as_problem
from api.http.ids import run_of
from api.http.times import timestamp
from api.runs.artifacts import RunArtifacts
from core.domain.comparison import SIMILARITY_FILE, RepresentationSimilarity
from core.domain.evaluation import Evaluation
from core.domain.plan import ComparedArtifacts
from core.domain.run import RunStatus
from core.domain.spec import ComparedRun, RunSpec
from core.domain.stages import RENDER
from core.errors import NotFoundError, NotReadyError
from core.store.database.tables import ArtifactRow, RunRow
from core.store.engine import lifecycle
from core.store.objects.stored import Stored
from core.store.queries import artifacts, runs


def describe(results: RunArtifacts, comparison_id: str) -> ComparisonOut:
    """Return one comparison as the API shows it.

    Args:
        results: artifacts of the caller's tenant.
        comparison_id: id of the comparison, which is the id of the run that draws its film.

    Raises:
        NotFoundError: the tenant has no such comparison.
        NotReadyError: artifacts of a compared run are not stored any more.
    """
    with results.database.reading() as session:
        run = _comparison_of(session, comparison_id, results.tenant)
        spec, shows = RunSpec.model_validate(run.spec), lifecycle.plan_of(run).task(RENDER.name).shows
        made = artifacts.artifacts(session, [key for shown in shows for key in (shown.fine_tune, shown.measure)])
        film = artifacts.artifact(session, run, RENDER.name)
    base = f"/v1/runs/{run.id}"
    return ComparisonOut(
        id=run.id,
        name=run.name,
        status=RunStatus(run.status),
        runs=[_row(results, one, shown, made) for one, shown in zip(spec.compared, shows, strict=True)],
        likeness=RepresentationSimilarity.model_validate_json(_read(results, film, SIMILARITY_FILE)) if film else None,
        error=as_problem(run.error) if run.error else None,
        links=ComparisonLinks(self=f"/v1/comparisons/{run.id}", run=base, film=f"{base}/film.gif" if film else None),
        created_at=timestamp(run.created_at),
    )


def _comparison_of(session: Session, run_id: str, tenant: str) -> RunRow:
    run = run_of(session, run_id, tenant)
    if not runs.is_comparison(run):
        raise NotFoundError(f"Run {run_id} is no comparison. POST /v1/comparisons makes a comparison.")
    return run


def _row(
    results: RunArtifacts, one: ComparedRun, shown: ComparedArtifacts, made: dict[str, ArtifactRow]
) -> ComparedOut:
    if not {shown.fine_tune, shown.measure} <= made.keys():
        raise NotReadyError(
            f"Results of run {one.run} are not stored any more. Retry that run to make the results again."
        )
    learnt = made[shown.fine_tune].facts
    evaluation = Evaluation.model_validate_json(_read(results, made[shown.measure], "evaluation.json"))
    return ComparedOut(
        run=one.run,
        name=one.spec.name,
        model=one.spec.model,
        parameters=learnt["parameters"],
        phases=list(evaluation.phases),
        seconds=learnt.get("seconds"),
        images_per_second=learnt.get("images_per_second"),
    )


def _read(results: RunArtifacts, row: ArtifactRow, name: str) -> bytes:
    try:
        return results.store.file(Stored(row.location, row.files), name).read_bytes()
    except FileNotFoundError as error:  # the file was deleted after the row was read
        raise NotReadyError(f"{name} is not stored any more. Retry the run that made the file.") from error
