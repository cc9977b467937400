"""Lay every checkpoint out in two dimensions, and align the layouts over time.

The artifact holds `projection/`, a Projection.
"""

from typing import Any

from core.layout.project import project_frames
from core.store.objects import codecs
from worker.context import StageContext
from worker.loading import FrameEmbeddings


def run(ctx: StageContext) -> dict[str, Any]:
    """Project by the method of the spec."""
    folders = ctx.frames()
    projection = project_frames(
        FrameEmbeddings(folders),
        project=ctx.spec.project,
        align=ctx.spec.align,
        on_frame=ctx.progress,
    )
    codecs.save(ctx.output / "projection", projection)
    return {}
