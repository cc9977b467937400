"""What the API does with comparisons. A comparison is a run that shows other runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from api.comparisons.schemas import ComparisonCreate
from api.http.idempotency import Asked
from api.http.ids import run_of
from api.runs.service import Accepted, RunService
from core.domain import plan as plans
from core.domain.plan import ComparedArtifacts
from core.domain.run import RunStatus
from core.domain.spec import ComparedRun, RunSpec
from core.errors import ConflictError, InvalidSpecError, NotFoundError
from core.store.database.tables import RunRow
from core.store.engine import artifact_rows


@dataclass(frozen=True, slots=True)
class ComparisonService:
    """Comparisons of the runs of one tenant."""

    runs: RunService

    def compare(self, body: ComparisonCreate, *, idempotency_key: str | None = None) -> Accepted:
        """Accept a run that shows others side by side; nothing is trained.

        Raises:
            ConflictError: one of them has not succeeded, or something of it is not kept.
            InvalidSpecError: there is no such run, they show no images in common, a field does not fit, or the
                Idempotency-Key came with another body before.
            InFlightError: another request with this Idempotency-Key is being answered.
            QuotaExceededError: the tenant has as many runs in flight as it may.
            InsufficientStorageError: the disk is nearly full.
        """
        asked = Asked.of(self.runs.tenant, idempotency_key, "comparisons", body)
        with self.runs.in_flight.exclusive(self.runs.tenant, idempotency_key):
            with self.runs.database.reading() as session:
                if answered := asked.answered(session):
                    return Accepted(answered, replayed=True)
                compared = self._compared(session, body.runs)
            spec = body.to_spec(compared)
            plan = plans.build(spec)
            (stage,) = plan.stages
            shown = list(zip((one.run for one in compared), stage.shows, strict=True))
            self._require_files(shown)
            return self.runs.accept(spec, plan, asked, check=partial(self._check_shown, shown=shown))

    def _compared(self, session: Session, run_ids: Sequence[str]) -> tuple[ComparedRun, ...]:
        rows = [self._named(session, run_id, place=place) for place, run_id in enumerate(run_ids)]
        for row in rows:
            if row.status != RunStatus.SUCCEEDED:
                raise ConflictError(f"Run {row.id} is {row.status}. Runs can be compared when they have succeeded.")
        return tuple(ComparedRun(run=row.id, spec=RunSpec.model_validate(row.spec)) for row in rows)

    def _named(self, session: Session, run_id: str, *, place: int, hold: bool = False) -> RunRow:
        """A run that a comparison names."""
        try:
            return run_of(session, run_id, self.runs.tenant, hold=hold)
        except NotFoundError as error:
            raise InvalidSpecError(error.detail, field=f"runs.{place}") from error

    def _require_files(self, shown: Sequence[tuple[str, ComparedArtifacts]]) -> None:
        """Look whether all that a comparison shows is where it is said to be, before anything is written."""
        with self.runs.database.reading() as session:
            recorded = artifact_rows.recorded(session, [key for _run_id, made in shown for key in made.keys])
        lost = self.runs.store.missing(recorded).keys()
        for run_id, made in shown:
            if lost & set(made.keys):
                raise ConflictError(f"Files of run {run_id} are gone. Retry it, and compare it then.")

    def _check_shown(self, session: Session, shown: Sequence[tuple[str, ComparedArtifacts]]) -> None:
        """Hold the runs that a comparison shows until it counts on what they have made."""
        named = sorted((run_id, place) for place, (run_id, _made) in enumerate(shown))
        for run_id, place in named:  # in one order: nobody waits for who waits for him
            self._named(session, run_id, place=place, hold=True)
        for run_id, made in shown:
            if not set(made.keys) <= artifact_rows.stored_keys(session, made.keys):
                raise ConflictError(
                    f"Not all that run {run_id} has made is stored, or an older version has made it. Retry it, or "
                    f"draw it anew with POST /v1/runs/{run_id}/renders and compare that one: nothing is trained."
                )
