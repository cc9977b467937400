"""A film drawn as the run's spec says. Runs in the child process."""

from collections.abc import Callable
from typing import Any

from core.domain.spec import RenderSpec
from core.render.film import REDUCIBLE_FIELDS, Renderer, render_film
from worker.context import StageContext


def draw_film(ctx: StageContext, renderer: Callable[[RenderSpec], Renderer]) -> dict[str, Any]:
    """Draw it into the stage's output; returns what of the spec was given up for its size, as it was drawn."""

    def tell(cheaper: RenderSpec) -> None:
        reason = f"the film had more than {cheaper.max_bytes:,} bytes"
        ctx.emit("stage.redrawn", reason=reason, **cheaper.model_dump(include=REDUCIBLE_FIELDS))

    drawn = render_film(ctx.output, ctx.spec.render, renderer, on_frame=ctx.progress, on_cheaper=tell)
    return drawn.model_dump(include=REDUCIBLE_FIELDS)
