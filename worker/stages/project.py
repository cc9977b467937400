"""Project the embeddings of each frame to two dimensions, and align the projections over the frames.

The artifact has `projection/` (Projection).
"""

from typing import Any

from core.layout.project import project_frames
from core.store.objects import codecs
from worker.context import StageContext
from worker.loading import FrameEmbeddings


def run(ctx: StageContext) -> dict[str, Any]:
    """Project and align with the methods of the spec. The stage has no facts."""
    folders = ctx.frames()
    projection = project_frames(
        FrameEmbeddings(folders),
        project=ctx.spec.project,
        align=ctx.spec.align,
        on_frame=ctx.progress,
    )
    codecs.save(ctx.output / "projection", projection)
    return {}
