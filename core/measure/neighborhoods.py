"""Whether neighbours in the representation are neighbours in the layout, and of what class they are.

Distances are cosine in the representation, Euclidean in the layout. What needs ranks among all points is computed for
SAMPLE_ROWS of them, exactly; N x N is never held.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, IntArray

SAMPLE_ROWS = 1000
USUAL_SIZE = 15
BLOCK_BYTES = 8 << 20
"""Of distances that are computed at once: few large products cost less than many small ones."""
MARK_BYTES = 1 << 20
WORD, LANE = 8, 255
"""Bytes that are added as one; so many ones fit into a byte."""

Distances: TypeAlias = Callable[[IntArray], NDArray[np.floating]]
"""Of some points (B,) to all, (B, N)."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How well one frame's layout keeps neighbourhoods, over its anchors; each 0..1, 1 is best.

    Attributes:
        trustworthiness: neighbours in the layout are near in the representation.
        continuity: neighbours in the representation are near in the layout.
        preservation: share of the k neighbours in the representation that are among the k in the layout.
    """

    trustworthiness: float
    continuity: float
    preservation: float


def size(n_points: int) -> int:
    """How many neighbours make a neighbourhood: so many that their ranks can be compared, 1 at least."""
    return max(1, min(USUAL_SIZE, (n_points - 1) // 2))


def sample_rows(n_points: int, *, most: int = SAMPLE_ROWS) -> IntArray:
    """Rows of the points that are looked at, rising: all, or `most` that are always the same."""
    if n_points <= most:
        return np.arange(n_points)
    return np.sort(np.random.default_rng(0).permutation(n_points)[:most])


def layout_neighbors(points: NDArray[np.floating], *, k: int, rows: IntArray) -> IntArray:
    """(B, k) nearest other points of these rows in the layout (N, 2), nearest first."""
    tree = scipy.spatial.cKDTree(points)
    _, found = tree.query(points[rows], k=k + 1)
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # so many lie on the very same spot that it is not among them
    others: IntArray = found[~own].reshape(len(rows), k).astype(np.int64)
    return others


def faithfulness(
    embeddings: FloatArray, points: NDArray[np.floating], *, neighbors: IntArray, rows: IntArray
) -> Faithfulness:
    """Compare neighbourhoods of one frame in the representation and in the layout.

    Trustworthiness is 1 - 2 / (B k (2 N - 3 k - 1)) sum_i sum_j max(0, r(i, j) - k), j the k neighbours of i in the
    layout and r(i, j) the rank of j among all points by distance from i in the representation; continuity the other way
    around.

    Args:
        embeddings: (N, D).
        points: (N, 2), the layout.
        neighbors: (B, k), of the rows, in the representation; k below N / 2.
        rows: (B,), as `anchors` gives them.

    References:
        Venna, Kaski: Neighborhood preservation in nonlinear projection methods. doi:10.1007/3-540-44668-0_68.
    """
    n_points, k = len(points), neighbors.shape[1]
    shown = layout_neighbors(points, k=k, rows=rows)
    scale = _worst(len(rows), n_points, k)
    return Faithfulness(
        trustworthiness=1 - _excess(_cosine(embeddings), rows, shown, n_points) / scale,
        continuity=1 - _excess(_euclidean(points), rows, neighbors, n_points) / scale,
        preservation=preservation(neighbors, shown),
    )


def preservation(neighbors: IntArray, shown: IntArray) -> float:
    """Share of the neighbours (B, k) in the representation that are among those shown (B, k), 0..1."""
    return float((neighbors[:, :, None] == shown[:, None, :]).any(axis=2).mean())


def distance_ranks(points: NDArray[np.floating]) -> IntArray:
    """(N, N): which place each point has among the others by Euclidean distance from the point of the row, 1 nearest.

    N x N is held: for few points that many layouts are compared with.
    """
    apart = scipy.spatial.distance.cdist(points, points, "sqeuclidean")
    np.fill_diagonal(apart, -1)
    ranks = np.empty(apart.shape, dtype=np.int64)
    np.put_along_axis(ranks, apart.argsort(axis=1, kind="stable"), np.arange(len(points))[None, :], axis=1)
    return ranks


def trustworthiness(ranks: IntArray, shown: IntArray) -> float:
    """As `faithfulness` has it, of points whose ranks in the representation are known and whose neighbours are shown.

    Args:
        ranks: (N, N), of `distance_ranks`.
        shown: (N, k) neighbours in the layout, k below N / 2.
    """
    n_points, k = shown.shape
    excess = float((np.take_along_axis(ranks, shown, axis=1) - k).clip(min=0).sum())
    return 1 - excess / _worst(n_points, n_points, k)


def neighborhood_hit(neighbors: IntArray, labels: IntArray, rows: IntArray) -> float:
    """Share of neighbours (B, k) that are of the same class as their point, 0..1."""
    return float((labels[neighbors] == labels[rows, None]).mean())


def knn_accuracy(neighbors: IntArray, labels: IntArray, rows: IntArray) -> float:
    """Share of points whose class most of their neighbours (B, k) have; of equally many votes, those of the lowest."""
    votes = np.zeros((len(rows), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(rows))[:, None], labels[neighbors]), 1)
    return float((votes.argmax(axis=1) == labels[rows]).mean())


def _worst(n_rows: int, n_points: int, k: int) -> float:
    """The largest excess that can be; of two points alone there is none to be had."""
    return max(1.0, n_rows * k * (2 * n_points - 3 * k - 1) / 2)


def _excess(distances: Distances, rows: IntArray, others: IntArray, n_points: int) -> float:
    """Sum over rows and their others of how far the rank is above k."""
    k, excess = others.shape[1], 0
    n_block = max(1, BLOCK_BYTES // (8 * n_points))
    for start in range(0, len(rows), n_block):
        some, theirs = rows[start : start + n_block], others[start : start + n_block]
        apart = distances(some)
        apart[np.arange(len(some)), some] = np.inf
        limits = np.take_along_axis(apart, theirs, axis=1)
        excess += int((1 + count_below(apart, limits) - k).clip(min=0).sum())
    return float(excess)


def count_below(values: NDArray[np.floating], limits: NDArray[np.floating]) -> IntArray:
    """(B, k): how many of the values (B, N) of a row are below each of its limits (B, k).

    Many times as fast as to sort them. What is below is marked by a byte; eight of these are added at a time, as one
    word, no more than LANE words, since each byte of the sum holds no more.
    """
    (n_rows, n_values), k = values.shape, limits.shape[1]
    n_words = -(-n_values // WORD)
    n_block = max(1, MARK_BYTES // (k * n_words * WORD))
    marks = np.zeros((min(n_block, n_rows), k, n_words * WORD), dtype=bool)
    counts = np.empty((n_rows, k), dtype=np.int64)
    for start in range(0, n_rows, n_block):
        some = slice(start, min(start + n_block, n_rows))
        marked = marks[: some.stop - start]
        np.less(values[some, None, :], limits[some, :, None], out=marked[:, :, :n_values])
        sums = np.add.reduceat(marked.view(np.uint64), np.arange(0, n_words, LANE), axis=2)
        counts[some] = sums.view(np.uint8).sum(axis=2, dtype=np.int64)
    return counts


def _cosine(embeddings: FloatArray) -> Distances:
    """Half the squared distance of directions, which is 1 - cos; their mean is taken out, so that digits are left."""
    norms = np.linalg.norm(embeddings, axis=1).astype(np.float64)
    norms[norms == 0] = 1
    directions = embeddings / norms[:, None].astype(np.float32)
    directions -= directions.mean(axis=0, dtype=np.float64).astype(np.float32)
    half = np.einsum("nd,nd->n", directions, directions) / 2
    return lambda rows: half[rows, None] + half - directions[rows] @ directions.T


def _euclidean(points: NDArray[np.floating]) -> Distances:
    doubles = points.astype(np.float64)
    return lambda rows: scipy.spatial.distance.cdist(doubles[rows], doubles, "sqeuclidean")
