"""Compute the outlier score of each probe image in each frame.

The artifact has `scores/` (OutlierScores) and `neighbors/` (NeighborGraph).
"""

from typing import Any

from core.measure.outliers import score_frames
from core.store.objects import codecs
from worker.context import StageContext
from worker.loading import FrameEmbeddings


def run(ctx: StageContext) -> dict[str, Any]:
    """Score the frames with `score.k` nearest neighbours. The stage has no facts."""
    folders = ctx.frames()
    scores, neighbors = score_frames(
        FrameEmbeddings(folders), k=ctx.spec.score.k, on_frame=lambda done: ctx.progress(done, len(folders))
    )
    codecs.save(ctx.output / "scores", scores)
    codecs.save(ctx.output / "neighbors", neighbors)
    return {}
