"""The claim of a worker on a task, as plain data. A child process receives it without importing the database."""

from dataclasses import dataclass

from core.domain.plan import Plan, PlannedTask
from core.domain.spec import RunSpec
from core.store.objects.stored import Stored


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one task, for as long as its lease is renewed.

    Attributes:
        run_id: the run.
        task: the planned task.
        token: fencing token. A write under an older token has no effect.
        attempt: number of this attempt, from 1.
        spec: the spec of the run.
        plan: the plan of the run.
        state: stored state that the task resumes from; None if the task starts from the beginning.
        unneeded: locations that a lost attempt stored and no run needs; the caller deletes them after the commit.
    """

    run_id: str
    task: PlannedTask
    token: int
    attempt: int
    spec: RunSpec
    plan: Plan
    state: Stored | None
    unneeded: tuple[str, ...]
