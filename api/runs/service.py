"""Operations on a tenant's runs. Each method writes in one transaction, which is committed before the response.

Wake-ups are sent and files are deleted after the commit. If the process dies in between, the sweeper sends the wake-ups
and deletes the unused files later.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Self

from fastapi import Depends
from sqlalchemy.orm import Session

from api.access import quotas
from api.access.services import service
from api.http import cursors
from api.http.idempotency import Asked, InFlight
from api.http.ids import dataset_of, run_of
from api.runs import describe, sources
from api.runs.schemas import RenderCreate, RunCreate, RunPage
from core.domain import plan as plans
from core.domain.ids import new_id
from core.domain.plan import Plan
from core.domain.run import RunStatus
from core.domain.spec import RunSpec
from core.errors import ConflictError, NotFoundError
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import artifact_rows
from core.store.engine.lifecycle import WakeUp
from core.store.objects.artifacts import ArtifactStore
from core.store.queries import artifacts, runs


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted run. `replayed`: an earlier request with the same Idempotency-Key created the run."""

    run_id: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class RunService:
    """Runs of one tenant: submit, draw again, list, cancel, retry, delete.

    Attributes:
        settings: settings of the service.
        database: where runs are recorded.
        store: where artifacts are stored.
        notify: sends wake-ups to the workers.
        tenant: owner of the runs.
        in_flight: Idempotency-Keys whose requests this process is handling.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    notify: Callable[[Iterable[WakeUp]], None]
    tenant: str
    in_flight: InFlight = field(default_factory=InFlight)

    def for_tenant(self, tenant: str) -> Self:
        """Return the same service for another tenant."""
        return replace(self, tenant=tenant)

    def submit(self, body: RunCreate, *, idempotency_key: str | None = None) -> Accepted:
        """Accept a run.

        Args:
            body: the validated request.
            idempotency_key: the Idempotency-Key, or None.

        Raises:
            InvalidSpecError: a field does not fit, or another request used this Idempotency-Key before.
            InFlightError: another request with this Idempotency-Key is being processed.
            QuotaExceededError: the tenant has the maximum number of runs in flight.
            InsufficientStorageError: the disk is nearly full.
        """
        asked = Asked.of(self.tenant, idempotency_key, "runs", body)

        def resolve(session: Session, *, hold: bool = False) -> sources.Sources:
            named = {"dataset": body.dataset, "model": body.model}
            return sources.resolve(session, self.settings, tenant=self.tenant, **named, hold=hold)

        with self.in_flight.exclusive(self.tenant, idempotency_key):
            with self.database.reading() as session:
                if answered := asked.answered(session):
                    return Accepted(answered, replayed=True)
                found = resolve(session)
            spec = body.to_spec(found.facts, found.pinned, title=found.title, decay=found.layer_decay)
            quotas.check_training(self.settings, spec)
            return self.accept(spec, plans.build(spec), asked, check=partial(resolve, hold=True))

    def draw(self, run_id: str, body: RenderCreate, *, idempotency_key: str | None = None) -> Accepted:
        """Accept a run that draws another run with other settings. The training and the embeddings are reused.

        Args:
            run_id: the run that is drawn again.
            body: the validated request.
            idempotency_key: the Idempotency-Key, or None.

        Raises:
            NotFoundError: the tenant has no such run.
            ConflictError: the training or the embeddings of the run are not finished, or not stored any more.
            InvalidSpecError: a field does not fit, or another request used this Idempotency-Key before.
            InFlightError: another request with this Idempotency-Key is being processed.
            QuotaExceededError: the tenant has the maximum number of runs in flight.
            InsufficientStorageError: the disk is nearly full.
        """
        asked = Asked.of(self.tenant, idempotency_key, f"renders of {run_id}", body)

        def check(session: Session) -> None:
            run_of(session, run_id, self.tenant, hold=True)
            if not runs.can_rerender(session, plan):
                raise ConflictError(
                    f"Run {run_id} cannot be drawn again before all its frames are embedded. Wait until the run has "
                    "ended, retry it if it has failed, or submit it again if an older version made it."
                )

        with self.in_flight.exclusive(self.tenant, idempotency_key):
            with self.database.reading() as session:
                if answered := asked.answered(session):
                    return Accepted(answered, replayed=True)
                spec = body.to_spec(RunSpec.model_validate(run_of(session, run_id, self.tenant).spec))
            plan = plans.build(spec)
            return self.accept(spec, plan, asked, check=check, drawn_from=run_id)

    def accept(
        self, spec: RunSpec, plan: Plan, asked: Asked, *, check: Callable[[Session], Any], drawn_from: str | None = None
    ) -> Accepted:
        """Accept a run whose spec is complete.

        Args:
            spec: complete spec of the run.
            plan: plan of this spec.
            asked: the request. Its Idempotency-Key and the run's id are recorded in the transaction of the run.
            check: called in this transaction. It raises an error if the run cannot be accepted any more.
            drawn_from: id of the run whose training is drawn again; None if the run is no new drawing.

        Returns:
            The new run, or the run that an earlier request with this Idempotency-Key created.

        Raises:
            InvalidSpecError: the film would be too large, or another request used this Idempotency-Key before.
            InFlightError: another process is handling a request with this Idempotency-Key.
            QuotaExceededError: the tenant has the maximum number of runs in flight.
            InsufficientStorageError: the disk is nearly full.
        """
        quotas.check_film(self.settings, spec)
        quotas.check_space(self.settings, self.store)
        with self.database.reading() as session:
            stored = runs.stored_for(session, plan)
        missing = self.store.missing(stored)
        with self.database.writing() as session:
            answered = asked.claim(session)
            if answered:
                return Accepted(answered, replayed=True)
            quotas.check_runs(self.settings, session, tenant=self.tenant)
            check(session)
            run_id = new_id("run")
            asked.remember(session, run_id)
            artifact_rows.forget_lost(session, missing)
            _, wake_ups = runs.accept(
                session, run_id, spec, plan, tenant=self.tenant, drawn_from=drawn_from, among=stored
            )
        self.notify(wake_ups)
        return Accepted(run_id, replayed=False)

    def page(self, *, cursor: str | None, limit: int) -> RunPage:
        """Return a page of at most `limit` runs, newest first.

        Args:
            cursor: `next_cursor` of the previous page; None starts with the newest run.
            limit: maximum number of runs.

        Raises:
            InvalidSpecError: this service did not make the cursor.
        """
        before = cursors.read(cursor) if cursor else None
        with self.database.reading() as session:
            rows = runs.page(session, tenant=self.tenant, before=before, limit=limit + 1)
            shown = describe.describe(session, rows[:limit])
        more = len(rows) > limit
        return RunPage(runs=shown, next_cursor=cursors.make(rows[limit - 1].id) if more else None)

    def cancel(self, run_id: str) -> None:
        """Cancel a run. A run that has ended does not change.

        Raises:
            NotFoundError: the tenant has no such run.
        """
        with self.database.writing() as session:
            if not RunStatus(run_of(session, run_id, self.tenant).status).terminal:
                runs.cancel(session, run_id)

    def retry(self, run_id: str) -> None:
        """Retry a run that failed, was cancelled, or lost files. Finished stages are kept.

        Raises:
            NotFoundError: the tenant has no such run.
            ConflictError: the run has not ended, or has succeeded and none of its files is missing.
            QuotaExceededError: the tenant has the maximum number of runs in flight.
            InsufficientStorageError: the disk is nearly full.
        """
        quotas.check_space(self.settings, self.store)
        with self.database.reading() as session:
            run_of(session, run_id, self.tenant)
            stored = runs.stored(session, run_id)
        missing = self.store.missing(stored)
        with self.database.writing() as session:
            quotas.check_runs(self.settings, session, tenant=self.tenant)
            run = run_of(session, run_id, self.tenant)
            with suppress(NotFoundError):  # not an upload, or deleted: stages that need the dataset may be finished
                dataset_of(session, run.spec["dataset"], self.tenant, hold="to_read")
            _, wake_ups = runs.retry(session, run_id, missing=missing)
        self.notify(wake_ups)

    def remove(self, run_id: str) -> None:
        """Delete a run that has ended, and its artifacts that no other run needs.

        Raises:
            NotFoundError: the tenant has no such run.
            ConflictError: the run has not ended.
        """
        with self.database.writing() as session:
            run_of(session, run_id, self.tenant)
            removed = runs.remove(session, run_id)
        self.store.delete(removed.locations)
        copies = self.store.copies(removed.keys, run_id=run_id)
        with self.database.reading() as session:
            unrecorded = artifacts.unrecorded(session, copies)
        self.store.delete(unrecorded)
        self.store.forget_attempts(run_id)


Runs = Annotated[RunService, Depends(service(RunService))]
"""The runs of the caller's tenant."""
