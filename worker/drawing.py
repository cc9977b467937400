"""Draw a film with the render settings of the run. Used in the child process."""

from collections.abc import Callable
from typing import Any

from core.domain.spec import RenderSpec
from core.render.film import REDUCIBLE_FIELDS, Renderer, render_film
from worker.context import StageContext


def draw_film(ctx: StageContext, renderer: Callable[[RenderSpec], Renderer]) -> dict[str, Any]:
    """Draw a film into the task's output. Each reduction of size or tweens is reported as an event.

    Args:
        ctx: context of the task.
        renderer: makes a renderer for the given render settings.

    Returns:
        The values of `REDUCIBLE_FIELDS` with which the film was drawn.

    Raises:
        InvalidSpecError: the GIF exceeds `render.max_bytes` at its smallest size.
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """

    def tell(cheaper: RenderSpec) -> None:
        reason = f"the film had more than {cheaper.max_bytes:,} bytes"
        ctx.emit("stage.redrawn", reason=reason, **cheaper.model_dump(include=REDUCIBLE_FIELDS))

    drawn = render_film(ctx.output, ctx.spec.render, renderer, on_frame=ctx.progress, on_cheaper=tell)
    return drawn.model_dump(include=REDUCIBLE_FIELDS)
