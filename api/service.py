"""What the API does with runs. Each method is one transaction, committed before the answer is built.

Bells are rung after the commit, and files deleted after it: what a crash in between leaves undone is a bell, which the
sweep rings, or a few unused files.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api import cursors, describe, sources
from api.idempotency import Asked
from api.ids import run_of
from api.schemas import RenderCreate, RunCreate, RunOut, RunPage
from core.domain import plan as plans
from core.domain.ids import new_id
from core.domain.run import RunStatus
from core.domain.spec import RunSpec
from core.errors import ConflictError, InvalidSpecError
from core.settings import Settings
from core.store import runs
from core.store.artifacts import ArtifactStore
from core.store.lifecycle import Bell
from core.store.session import Database
from core.store.tables import RunRow


@dataclass(frozen=True, slots=True)
class Service:
    """Runs: submit, draw otherwise, describe, cancel, retry, remove."""

    settings: Settings
    database: Database
    store: ArtifactStore
    ring: Callable[[Iterable[Bell]], None]

    def submit(self, body: RunCreate, *, idempotency_key: str | None = None) -> RunOut:
        """Accept a run.

        Raises:
            InvalidSpecError: a field does not fit, or the Idempotency-Key came with another body before.
        """
        _check_steps(body, self.settings)
        asked = Asked.of(idempotency_key, "runs", body)

        def resolve(session: Session) -> sources.Sources:
            return sources.resolve(session, self.settings, dataset=body.dataset, model=body.model)

        with self.database.reading() as session:
            answered = asked.answered(session)
            found = None if answered else resolve(session)
        if answered or found is None:
            return self.describe(str(answered))
        spec = body.to_spec(found.facts, found.pinned, title=found.title)
        return self._accept(spec, asked, check=resolve)

    def draw(self, run_id: str, body: RenderCreate, *, idempotency_key: str | None = None) -> RunOut:
        """Accept a run that draws another one otherwise: what that one has learnt is reused.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: its training and embedding are not finished, or not kept.
            InvalidSpecError: a field does not fit, or the Idempotency-Key came with another body before.
        """
        asked = Asked.of(idempotency_key, f"renders of {run_id}", body)
        with self.database.reading() as session:
            answered = asked.answered(session)
            spec = body.to_spec(RunSpec.model_validate(run_of(session, run_id).spec))

        if answered:
            return self.describe(answered)

        def check(session: Session) -> None:
            run = session.get(RunRow, run_id, with_for_update=True)  # it is not deleted before our commit
            if run is None or not runs.drawable(session, run):
                raise ConflictError(
                    f"Run {run_id} cannot be drawn otherwise before all its frames are embedded. Wait for it, or "
                    "retry it if it has failed."
                )

        return self._accept(spec, asked, check=check, drawn_from=run_id)

    def _accept(
        self, spec: RunSpec, asked: Asked, *, check: Callable[[Session], Any], drawn_from: str | None = None
    ) -> RunOut:
        plan = plans.build(spec)
        try:
            with self.database.writing() as session:
                run_id = asked.answered(session)
                bells: list[Bell] = []
                if run_id is None:
                    check(session)
                    run_id = new_id("run")
                    asked.remember(session, run_id)
                    _, bells = runs.accept(session, run_id, spec, plan, drawn_from=drawn_from)
        except IntegrityError:  # the same key at the same time: PostgreSQL lets the second insert wait, then fail
            with self.database.reading() as session:
                run_id = asked.answered(session)
            if run_id is None:
                raise
            bells = []
        self.ring(bells)
        return self.describe(run_id)

    def describe(self, run_id: str) -> RunOut:
        """One run.

        Raises:
            NotFoundError: there is no such run.
        """
        with self.database.reading() as session:
            return describe.describe(session, [run_of(session, run_id)])[0]

    def page(self, *, cursor: str | None, limit: int) -> RunPage:
        """Some runs, newest first.

        Raises:
            InvalidSpecError: the cursor is none that this service gave out.
        """
        before = cursors.read(cursor) if cursor else None
        with self.database.reading() as session:
            rows = runs.page(session, before=before, limit=limit + 1)
            shown = describe.describe(session, rows[:limit])
        more = len(rows) > limit
        return RunPage(runs=shown, next_cursor=cursors.make(rows[limit - 1].id) if more else None)

    def cancel(self, run_id: str) -> RunOut:
        """Ask a run to stop; one that has ended stays as it is.

        Raises:
            NotFoundError: there is no such run.
        """
        with self.database.writing() as session:
            if not RunStatus(run_of(session, run_id).status).terminal:
                runs.cancel(session, run_id)
        return self.describe(run_id)

    def retry(self, run_id: str) -> RunOut:
        """Start a failed or cancelled run again; finished stages are kept.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: the run is neither failed nor cancelled.
        """
        with self.database.writing() as session:
            run_of(session, run_id)
            _, bells = runs.retry(session, run_id)
        self.ring(bells)
        return self.describe(run_id)

    def remove(self, run_id: str) -> None:
        """Delete a run that has ended, and the files that no other run shares.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: the run has not ended.
        """
        with self.database.writing() as session:
            run_of(session, run_id)
            keys = runs.remove(session, run_id)
        with self.database.reading() as session:
            unused = runs.unclaimed(session, keys)
        for key in unused:
            self.store.delete(key)
        self.store.forget_attempts(run_id)


def _check_steps(body: RunCreate, settings: Settings) -> None:
    if body.train.steps > settings.max_steps:
        detail = (
            f"steps is {body.train.steps}, but this service takes at most {settings.max_steps} (EMBEDREEL_MAX_STEPS)."
        )
        raise InvalidSpecError(detail, field="train.steps")
