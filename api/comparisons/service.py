"""Operations on comparisons. A comparison is a run that trains nothing and draws other runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Self

from fastapi import Depends
from sqlalchemy.orm import Session

from api.access.services import service
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
    """Comparisons of one tenant's runs.

    Attributes:
        runs: the service that accepts runs of this tenant.
    """

    runs: RunService

    def for_tenant(self, tenant: str) -> Self:
        """Return the same service for another tenant."""
        return replace(self, runs=self.runs.for_tenant(tenant))

    def compare(self, body: ComparisonCreate, *, idempotency_key: str | None = None) -> Accepted:
        """Accept a run that draws other runs side by side. Nothing is trained.

        Args:
            body: the validated request.
            idempotency_key: the Idempotency-Key, or None.

        Raises:
            ConflictError: a compared run has not succeeded, or an artifact of it is not stored any more.
            InvalidSpecError: a compared run does not exist, the runs do not show the same images, a field does not
                fit, or another request used this Idempotency-Key before.
            InFlightError: another request with this Idempotency-Key is being processed.
            QuotaExceededError: the tenant has the maximum number of runs in flight.
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
            (stage,) = plan.tasks
            shown = list(zip((one.run for one in compared), stage.shows, strict=True))
            self._require_files(shown)
            return self.runs.accept(spec, plan, asked, check=partial(self._check_shown, shown=shown))

    def _compared(self, session: Session, run_ids: Sequence[str]) -> tuple[ComparedRun, ...]:
        rows = [self._named(session, run_id, place=place) for place, run_id in enumerate(run_ids)]
        for row in rows:
            if row.status != RunStatus.SUCCEEDED:
                raise ConflictError(f"Run {row.id} is {row.status}. Only runs that have succeeded can be compared.")
        return tuple(ComparedRun(run=row.id, spec=RunSpec.model_validate(row.spec)) for row in rows)

    def _named(self, session: Session, run_id: str, *, place: int, hold: bool = False) -> RunRow:
        """Return a run that the request names. `hold` locks its row until the commit.

        Raises:
            InvalidSpecError: the tenant has no such run; `field` is `runs.<place>`.
        """
        try:
            return run_of(session, run_id, self.runs.tenant, hold=hold)
        except NotFoundError as error:
            raise InvalidSpecError(error.detail, field=f"runs.{place}") from error

    def _require_files(self, shown: Sequence[tuple[str, ComparedArtifacts]]) -> None:
        """Check that the files of all compared artifacts are in the store.

        Raises:
            ConflictError: files of a run are missing.
        """
        with self.runs.database.reading() as session:
            recorded = artifact_rows.recorded(session, [key for _run_id, made in shown for key in made.keys])
        lost = self.runs.store.missing(recorded).keys()
        for run_id, made in shown:
            if lost & set(made.keys):
                raise ConflictError(f"Files of run {run_id} are gone. Retry the run, then compare again.")

    def _check_shown(self, session: Session, shown: Sequence[tuple[str, ComparedArtifacts]]) -> None:
        """Lock the compared runs, and check that all compared artifacts are recorded.

        The locks keep the artifacts until the transaction has recorded the references of the comparison.

        Raises:
            ConflictError: an artifact is not recorded in the format of this version.
            InvalidSpecError: a compared run has been deleted.
        """
        named = sorted((run_id, place) for place, (run_id, _made) in enumerate(shown))
        for run_id, place in named:  # every transaction locks in the order of ids, so that no two wait for each other
            self._named(session, run_id, place=place, hold=True)
        for run_id, made in shown:
            if not set(made.keys) <= artifact_rows.stored_keys(session, made.keys):
                raise ConflictError(
                    f"Artifacts of run {run_id} are missing, or an older version made them. Retry the run, or draw it "
                    f"again with POST /v1/runs/{run_id}/renders, which trains nothing, and compare the new run."
                )


Comparisons = Annotated[ComparisonService, Depends(service(ComparisonService))]
"""The comparisons of the caller's tenant."""
