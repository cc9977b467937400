"""End a claimed task without an artifact: fail it, cancel it, or queue it again."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from core.domain.run import TaskStatus
from core.errors import EmbedreelError
from core.store.engine import artifact_rows, lifecycle
from core.store.engine.claim import Claim
from core.store.engine.claims import Published, write_refused
from core.store.objects.stored import Stored


def fail(session: Session, held: Claim, error: EmbedreelError) -> None:
    """Fail the task and its run with this error."""
    run = lifecycle.lock(session, held.run_id)
    if not write_refused(session, held, "fail"):
        lifecycle.fail(session, run, lifecycle.tasks_of(session, held.run_id)[held.task.id], error)


def fail_for_lost(session: Session, held: Claim, error: EmbedreelError, *, missing: Mapping[str, Stored]) -> None:
    """Fail the task because files that it reads are missing.

    The rows of the missing artifacts are deleted. A retry, or another run that needs the artifacts, makes them again.

    Args:
        session: transaction of the caller.
        held: the claim under which the task runs.
        error: error of the task and of its run.
        missing: artifacts whose files are missing, by key.
    """
    lifecycle.lock(session, held.run_id)
    artifact_rows.forget_lost(session, missing)
    fail(session, held, error)


def give_up(session: Session, held: Claim) -> None:
    """Mark the task as cancelled after its child process was stopped for a cancelled run."""
    run = lifecycle.lock(session, held.run_id)
    if not write_refused(session, held, "give_up"):
        row = lifecycle.tasks_of(session, held.run_id)[held.task.id]
        lifecycle.end_task(session, row, TaskStatus.CANCELLED)
        lifecycle.settle_cancel(session, run)


def give_back(session: Session, held: Claim, *, reason: str, blame: bool, max_attempts: int) -> Published:
    """Queue the task again after a failure that the run did not cause. See `lifecycle.requeue` for the arguments."""
    run = lifecycle.lock(session, held.run_id)
    if write_refused(session, held, "give_back"):
        return Published()
    row = lifecycle.tasks_of(session, held.run_id)[held.task.id]
    wake_ups = lifecycle.requeue(session, run, row, reason=reason, blame=blame, max_attempts=max_attempts)
    return Published(tuple(wake_ups))


def begin_anew(session: Session, held: Claim, *, reason: str, max_attempts: int) -> Published:
    """Delete the state that the task could not resume from, and queue the task again.

    Args:
        session: transaction of the caller.
        held: the claim under which the task runs.
        reason: why the state is unusable, for the event and for the error of a run that fails.
        max_attempts: number of counted attempts after which the task fails.
    """
    lifecycle.lock(session, held.run_id)
    if write_refused(session, held, "begin_anew"):
        return Published()
    artifact_rows.lock_artifacts(session, to_delete=True)
    row = lifecycle.tasks_of(session, held.run_id)[held.task.id]
    unneeded = artifact_rows.forget_state(session, row)
    session.flush()
    given = give_back(session, held, reason=reason, blame=True, max_attempts=max_attempts)
    return Published(given.wake_ups, tuple(unneeded))
