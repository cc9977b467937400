"""Neighbourhood preservation of a layout, and the classes of nearest neighbours.

Neighbourhood preservation is measured by trustworthiness, by continuity and by k-NN recall. Distances are cosine in the
representation and Euclidean in the layout. `faithfulness` evaluates at most SAMPLE_ROWS points. The ranks of these
points among all N points are exact. Only `distance_ranks` holds an N x N array.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, IntArray

SAMPLE_ROWS = 1000
"""Largest number of points per frame that are evaluated. Chosen by hand; not measured."""
USUAL_SIZE = 15
"""Number of neighbours k in a neighbourhood. Chosen by hand; not measured."""
BLOCK_BYTES = 8 << 20
"""Size in bytes of one block of distances. One large product is faster than many small products.
The value is chosen by hand; not measured."""
MARK_BYTES = 1 << 20
"""Largest size in bytes of the boolean array in `count_below`. Chosen by hand; not measured."""
WORD, LANE = 8, 255
"""Number of bytes in a 64-bit word, and the largest sum that one byte holds."""

Distances: TypeAlias = Callable[[IntArray], NDArray[np.floating]]
"""Distances from the points in the given rows, (B,), to all points, (B, N)."""


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Neighbourhood preservation of one frame's layout over the evaluated points. Each value is in 0..1; 1 is best.

    Attributes:
        trustworthiness: 1 if every layout neighbour is also a neighbour in the representation.
        continuity: 1 if every neighbour in the representation is also a layout neighbour.
        knn_recall: k-NN recall, the fraction of the k neighbours in the representation that are among the k
            neighbours in the layout.
    """

    trustworthiness: float
    continuity: float
    knn_recall: float


def size(n_points: int) -> int:
    """Number of neighbours k for N points: USUAL_SIZE, or fewer so that k < N / 2; at least 1.

    The normalisation of trustworthiness and continuity requires k < N / 2.

    Args:
        n_points: number of points N.
    """
    return max(1, min(USUAL_SIZE, (n_points - 1) // 2))


def sample_rows(n_points: int, *, most: int = SAMPLE_ROWS) -> IntArray:
    """Rows of the evaluated points: all rows, or a random sample that is the same in every call.

    Args:
        n_points: number of points N.
        most: largest number of rows in the sample.

    Returns:
        (min(N, most),) int64, ascending.
    """
    if n_points <= most:
        return np.arange(n_points)
    return np.sort(np.random.default_rng(0).permutation(n_points)[:most])


def layout_neighbors(points: NDArray[np.floating], *, k: int, rows: IntArray) -> IntArray:
    """The k nearest other points in the layout, by Euclidean distance.

    Args:
        points: (N, 2), the layout.
        k: number of neighbours, 1 to N - 1.
        rows: (B,), the points whose neighbours are returned.

    Returns:
        (B, k) int64, rows of the neighbours, nearest first.
    """
    tree = scipy.spatial.cKDTree(points)
    _, found = tree.query(points[rows], k=k + 1)
    own = found == rows[:, None]
    own[~own.any(axis=1), -1] = True  # more than k other points are at this position, so the query returned only others
    others: IntArray = found[~own].reshape(len(rows), k).astype(np.int64)
    return others


def faithfulness(
    embeddings: FloatArray, points: NDArray[np.floating], *, neighbors: IntArray, rows: IntArray
) -> Faithfulness:
    """Trustworthiness, continuity and k-NN recall of one frame's layout.

    Trustworthiness is 1 - 2 / (B k (2 N - 3 k - 1)) sum_i sum_j max(0, r(i, j) - k). Here j runs over the k neighbours
    of i in the layout, and r(i, j) is the rank of j among all points by distance from i in the representation.
    Continuity exchanges the layout and the representation.

    Args:
        embeddings: (N, D) float32.
        points: (N, 2), the layout.
        neighbors: (B, k) int64, nearest neighbours of `rows` in the representation, by cosine distance; k < N / 2.
        rows: (B,) int64, the evaluated points, from `sample_rows`.

    Returns:
        Three values in 0..1. Higher = better preserved.

    References:
        Venna, Kaski: Neighborhood preservation in nonlinear projection methods. doi:10.1007/3-540-44668-0_68.
    """
    n_points, k = len(points), neighbors.shape[1]
    shown = layout_neighbors(points, k=k, rows=rows)
    scale = _worst(len(rows), n_points, k)
    return Faithfulness(
        trustworthiness=1 - _excess(_cosine(embeddings), rows, shown, n_points) / scale,
        continuity=1 - _excess(_euclidean(points), rows, neighbors, n_points) / scale,
        knn_recall=knn_recall(neighbors, shown),
    )


def knn_recall(neighbors: IntArray, shown: IntArray) -> float:
    """k-NN recall: the fraction of the neighbours in the representation that are also neighbours in the layout.

    Args:
        neighbors: (B, k), neighbours in the representation.
        shown: (B, k), neighbours of the same points in the layout.

    Returns:
        0..1. Higher = better preserved.
    """
    return float((neighbors[:, :, None] == shown[:, None, :]).any(axis=2).mean())


def distance_ranks(points: NDArray[np.floating]) -> IntArray:
    """Rank of each point by Euclidean distance from each other point.

    The function holds N x N arrays. Use it for few points if many layouts of them are compared.

    Args:
        points: (N, D).

    Returns:
        (N, N) int64. Entry [i, j] is the rank of j among the points other than i: 1 is nearest. The diagonal is 0.
    """
    apart = scipy.spatial.distance.cdist(points, points, "sqeuclidean")
    np.fill_diagonal(apart, -1)
    ranks = np.empty(apart.shape, dtype=np.int64)
    np.put_along_axis(ranks, apart.argsort(axis=1, kind="stable"), np.arange(len(points))[None, :], axis=1)
    return ranks


def trustworthiness(ranks: IntArray, shown: IntArray) -> float:
    """Trustworthiness of a layout, by the formula of `faithfulness`, from ranks that are already known.

    Args:
        ranks: (N, N), ranks in the representation, from `distance_ranks`.
        shown: (N, k), neighbours in the layout; k < N / 2.

    Returns:
        0..1. Higher = more trustworthy.
    """
    n_points, k = shown.shape
    excess = float((np.take_along_axis(ranks, shown, axis=1) - k).clip(min=0).sum())
    return 1 - excess / _worst(n_points, n_points, k)


def neighborhood_hit(neighbors: IntArray, labels: IntArray, rows: IntArray) -> float:
    """Fraction of nearest neighbours that have the class of their point.

    Args:
        neighbors: (B, k), nearest neighbours of `rows`.
        labels: (N,), class of each point.
        rows: (B,), the evaluated points.

    Returns:
        0..1. Higher = purer neighbourhoods.
    """
    return float((labels[neighbors] == labels[rows, None]).mean())


def knn_accuracy(neighbors: IntArray, labels: IntArray, rows: IntArray) -> float:
    """Accuracy of k-NN classification by majority vote. The lowest class index wins a tie.

    Args:
        neighbors: (B, k), nearest neighbours of `rows`.
        labels: (N,), class of each point.
        rows: (B,), the points to classify.

    Returns:
        0..1.
    """
    votes = np.zeros((len(rows), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(rows))[:, None], labels[neighbors]), 1)
    return float((votes.argmax(axis=1) == labels[rows]).mean())


def _worst(n_rows: int, n_points: int, k: int) -> float:
    """The largest possible rank excess, at least 1. With two points no excess is possible."""
    return max(1.0, n_rows * k * (2 * n_points - 3 * k - 1) / 2)


def _excess(distances: Distances, rows: IntArray, others: IntArray, n_points: int) -> float:
    """Sum of max(0, r(i, j) - k) over the rows i and the points j of `others` (B, k)."""
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
    """Number of values in each row that are below each limit of the row.

    Each value below a limit sets one byte to 1. The bytes are added eight at a time, as 64-bit words. One sum adds at
    most LANE words, because each byte of the sum overflows above 255. Counting replaced sorting each row;
    docs/performance.md has the times of the quality card before and after.

    Args:
        values: (B, N).
        limits: (B, k).

    Returns:
        (B, k) int64.
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
    """Cosine distance 1 - cos, computed as half the squared distance of unit vectors.

    The mean unit vector is subtracted first. Without the subtraction, close points lose digits to cancellation.
    """
    norms = np.linalg.norm(embeddings, axis=1).astype(np.float64)
    norms[norms == 0] = 1
    directions = embeddings / norms[:, None].astype(np.float32)
    directions -= directions.mean(axis=0, dtype=np.float64).astype(np.float32)
    half = np.einsum("nd,nd->n", directions, directions) / 2
    return lambda rows: half[rows, None] + half - directions[rows] @ directions.T


def _euclidean(points: NDArray[np.floating]) -> Distances:
    doubles = points.astype(np.float64)
    return lambda rows: scipy.spatial.distance.cdist(doubles[rows], doubles, "sqeuclidean")
