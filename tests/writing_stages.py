"""Stub stages that also leave small results, so that the routes that show results have something to show."""

from core.domain.stages import FINE_TUNE, MEASURE, PROJECT, RENDER, SCORE
from tests import stub_stages
from tests.small_results import LEARNED, WRITERS


def fine_tune(ctx):
    """As the stub's, and each frame comes with what was measured."""
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
