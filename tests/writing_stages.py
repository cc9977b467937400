"""Stub stages that also write small results, for the routes that serve results."""

from core.domain.stages import FINE_TUNE, MEASURE, PROJECT, RENDER, SCORE
from tests import stub_stages
from tests.small_results import LEARNED, WRITERS


def fine_tune(ctx):
    """Like the stub stage; each frame also has measured values."""
    for index, part in enumerate(ctx.task.parts):
        folder = ctx.beside(part.id)
        (folder / "embeddings.txt").write_text("embedded")
        facts = {"frame": index, "step": ctx.plan.steps[index], "epoch": index / 2, "loss": 2.5, "accuracy": 0.5}
        ctx.publish(part, folder, facts)
    return _write(ctx) | {"parameters": LEARNED["parameters"]}


def _write(ctx):
    WRITERS[ctx.task.name](ctx.output, len(ctx.plan.steps))
    return {}


STAGES = stub_stages.STAGES | {
    FINE_TUNE.name: fine_tune,
    SCORE.name: _write,
    PROJECT.name: _write,
    MEASURE.name: _write,
    RENDER.name: _write,
}
