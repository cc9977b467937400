"""k-NN recall of t-SNE in a single frame, compared with the k-NN recall of the film's layout."""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from core.domain.arrays import FloatArray
from core.domain.quality import SingleFrameTsne, json_number
from core.measure.card import MORE_KEPT
from core.measure.neighborhoods import knn_recall, layout_neighbors, sample_rows, size
from core.measure.neighbors import nearest_neighbors

LOOKED_AT = 400
"""Largest number of points, which limits the time of t-SNE. Chosen by hand; not measured."""
FEWEST = 20
"""Least number of points. Chosen by hand; not measured."""
PERPLEXITY = 30.0
"""Perplexity of t-SNE, scikit-learn's default. Fewer points have a smaller perplexity."""
ROUNDS = 500
"""Number of iterations of t-SNE. Chosen by hand; not measured."""


def lay_out_single_frame(embeddings: FloatArray, points: FloatArray, *, frame: int) -> SingleFrameTsne | None:
    """Compare the k-NN recall of t-SNE and of the film's layout in one frame.

    Both layouts are evaluated at the same sample of at most LOOKED_AT points. The nearest neighbours are among the
    points of the sample. The t-SNE is scikit-learn's, so that the result does not depend on the optional extras of a
    worker.

    Args:
        embeddings: (N, D) float32, finite.
        points: (N, 2), the film's layout of the frame.
        frame: index of the frame, which the result states.

    Returns:
        Both values of k-NN recall. None for fewer than FEWEST points. None if the k-NN recall of the film's layout
        exceeds 1 - MORE_KEPT, because no layout can then be better by MORE_KEPT.
    """
    rows = sample_rows(len(points), most=LOOKED_AT)
    if len(rows) < FEWEST:
        return None
    some, shown = np.ascontiguousarray(embeddings[rows]), points[rows]
    k = size(len(rows))
    neighbors, every = nearest_neighbors(some, k=k).indices, np.arange(len(rows))

    def kept(layout: FloatArray) -> float:
        return knn_recall(neighbors, layout_neighbors(layout, k=k, rows=every))

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
    with threadpool_limits(1):  # on a busy machine, synchronising threads in each iteration takes minutes
        layout: FloatArray = tsne.fit_transform(embeddings)
    return layout
