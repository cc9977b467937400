"""Claims that no database has granted, for tasks that run in the process of a test or a bench."""

from core.domain.plan import build
from core.store.engine.claim import Claim


def claim_of(spec, task_id, *, state=None):
    """The first attempt at a task of a run with this spec."""
    plan = build(spec)
    return Claim("run_test", plan.task(task_id), 1, 1, spec, plan, state, ())
