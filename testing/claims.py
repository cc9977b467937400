"""Claims that no database has granted, for stages that run in the process of a test or a bench."""

from core.domain.plan import build
from core.store.engine.claim import Claim


def claim_of(spec, stage_id, *, state=None):
    """The first attempt at a stage of a run with this spec."""
    plan = build(spec)
    return Claim("run_test", plan.stage(stage_id), 1, 1, spec, plan, state, ())
