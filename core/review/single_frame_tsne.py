"""One frame for its own sake: how many neighbours a plane could keep, beside how many the film's layout keeps."""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from core.domain.arrays import FloatArray
from core.domain.quality import SingleFrameTsne, json_number
from core.measure.card import MORE_KEPT
from core.measure.neighborhoods import layout_neighbors, preservation, sample_rows, size
from core.measure.neighbors import nearest_neighbors

LOOKED_AT = 400
"""Points: few enough to be laid out in a second."""
FEWEST = 20
PERPLEXITY = 30.0
ROUNDS = 500


def lay_out_single_frame(embeddings: FloatArray, points: FloatArray, *, frame: int) -> SingleFrameTsne | None:
    """Lay some points of a frame out by t-SNE, and hold the neighbours that are kept against the film's layout.

    Both are judged by the same points, whose neighbours are looked for among them. scikit-learn's t-SNE serves, so that
    every worker finds the same, whichever extras it has.

    Args:
        embeddings: (N, D), finite.
        points: (N, 2), the film's layout of them.
        frame: its number, to be told.

    Returns:
        What was seen; None of fewer than FEWEST points, and where the layout keeps so many that no other can keep
        clearly more.
    """
    rows = sample_rows(len(points), most=LOOKED_AT)
    if len(rows) < FEWEST:
        return None
    some, shown = np.ascontiguousarray(embeddings[rows]), points[rows]
    k = size(len(rows))
    neighbors, every = nearest_neighbors(some, k=k).indices, np.arange(len(rows))

    def kept(layout: FloatArray) -> float:
        return preservation(neighbors, layout_neighbors(layout, k=k, rows=every))

    here = kept(shown)
    if here > 1 - MORE_KEPT:
        return None
    closer = kept(_tsne(some))
    return SingleFrameTsne(
        method="tsne",
        frame=frame,
        points=len(rows),
        neighbors_kept=json_number(closer),
        kept_here=json_number(here),
        better=closer >= here + MORE_KEPT,
    )


def _tsne(embeddings: FloatArray) -> FloatArray:
    perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, metric="cosine", max_iter=ROUNDS, random_state=0)
    with threadpool_limits(1):  # threads that wait for each other five hundred times take minutes on a busy machine
        layout: FloatArray = tsne.fit_transform(embeddings)
    return layout
