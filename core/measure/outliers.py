"""Outlier scores: the distance of each probe image from its nearest neighbours, for each checkpoint."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import numpy as np

from core.cores import side_by_side
from core.domain.arrays import FloatArray, NeighborGraph, OutlierScores
from core.measure import neighborhoods, neighbors

SMALLEST_SCALE = 1e-6
"""Least divisor of a distance in `cleanlab_score`, equal to cleanlab's EPSILON."""

ABREAST = 4
"""Number of small frames that are held and scored at a time. Memory grows with this number. Chosen by hand; not
measured."""

SMALL_FRAME = neighbors.STRIP_ROWS
"""Number of points up to which the neighbour search of a frame is not parallel itself."""


def knn_distance(embeddings: FloatArray, k: int) -> FloatArray:
    """Mean cosine distance to the k nearest neighbours, d_i = (1/k) sum_j (1 - cos(x_i, x_j)).

    Scores are comparable across frames, because the unit is the same in every frame.

    Args:
        embeddings: (N, D), finite.
        k: 1 to N - 1.

    Returns:
        (N,) float32, 0..2. Higher = more outlying.

    Raises:
        InvalidSpecError: k is below 1 or above N - 1.
        DegenerateEmbeddingsError: an embedding is NaN or infinite.

    References:
        Kuan, Mueller: Back to the Basics: Revisiting Out-of-Distribution Detection Baselines.
            arXiv:2207.03061.
    """
    return mean_distance(neighbors.nearest_neighbors(embeddings, k=k), k=k)


def mean_distance(graph: neighbors.Neighbors, *, k: int) -> FloatArray:
    """Mean distance of each point to its k nearest neighbours.

    Args:
        graph: nearest neighbours of N points, at least k of each point.
        k: number of neighbours in the mean.

    Returns:
        (N,) float32, 0..2. Higher = more outlying.
    """
    mean: FloatArray = graph.distances[:, :k].mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean


def cleanlab_score(distance: FloatArray) -> FloatArray:
    """The score exp(-d_i / median(d)) of cleanlab 2.9, equal to `OutOfDistribution().fit_score`.

    The median is taken over the points of this frame. Half of the points therefore score below 1 / e = 0.368 in every
    frame. The score ranks the points of one frame. The score cannot compare two frames. A point scores 1 if its
    distance is below rounding error. cleanlab uses Euclidean distances for embeddings of three or fewer dimensions.
    This function always uses cosine distances.

    Args:
        distance: (N,) float32, from `knn_distance`.

    Returns:
        (N,) float32, 0..1. Lower = more outlying.
    """
    scale = max(float(np.median(distance)), SMALLEST_SCALE)
    score = np.exp(-distance.astype(np.float64) / scale)
    score[distance < neighbors.SAME_DIRECTION] = 1
    return score.astype(np.float32)


def score_frames(
    frames: Iterable[FloatArray], *, k: int, on_frame: Callable[[int], None] | None = None
) -> tuple[OutlierScores, NeighborGraph]:
    """Score every probe image at every checkpoint. Scores and neighbours come from one k-NN graph for each frame.

    Frames with at most SMALL_FRAME points are scored in parallel. Larger frames are scored one after another, and the
    neighbour search of each frame is parallel.

    Args:
        frames: T arrays (N, D). At most ABREAST arrays are held at a time.
        k: number of neighbours of a score, 1 to N - 1.
        on_frame: called after each frame with the number of finished frames.

    Returns:
        Distances and cleanlab's scores, (T, N) float32 each; and the nearest neighbours of
        `neighborhoods.sample_rows`, for the stage `measure`.

    Raises:
        InvalidSpecError: k is below 1 or above N - 1.
        DegenerateEmbeddingsError: an embedding is NaN or infinite.
    """
    distances, scores, kept, rows = [], [], [], np.empty(0, dtype=np.int64)
    for graph in _graphs(frames, k=k):
        n_points = len(graph.indices)
        rows = neighborhoods.sample_rows(n_points)
        kept.append(graph.indices[rows, : neighborhoods.size(n_points)].astype(np.int32))
        distances.append(mean_distance(graph, k=k))
        scores.append(cleanlab_score(distances[-1]))
        if on_frame:
            on_frame(len(distances))
    return OutlierScores(np.stack(distances), np.stack(scores)), NeighborGraph(rows, np.stack(kept))


def _graphs(frames: Iterable[FloatArray], *, k: int) -> Iterator[neighbors.Neighbors]:
    """Return the k-NN graph of each frame, in order."""

    def search(embeddings: FloatArray) -> neighbors.Neighbors:
        return neighbors.nearest_neighbors(embeddings, k=max(k, neighborhoods.size(len(embeddings))))

    remaining = iter(frames)
    first = next(remaining)
    if len(first) > SMALL_FRAME:
        yield from map(search, chain([first], remaining))
        return
    with side_by_side(ABREAST) as each:
        batch = [first, *islice(remaining, ABREAST - 1)]
        while batch:
            yield from each(search, batch)
            batch = list(islice(remaining, ABREAST))
