"""Exact nearest neighbours by cosine distance, for one frame.

Late in training, 1 - cos between points of one class is about 1e-3. Before training, all points are often this close.
A single-precision product then has few correct digits. The search therefore has three steps:

1. Single precision chooses candidates. The mean unit vector is subtracted from all unit vectors first.
2. Double precision ranks the candidates.
3. If a bound on the rounding error cannot exclude a missed neighbour of a row, double precision compares the row with
   all points.

The matrix of products is symmetric. Only half of the matrix is computed, in tiles. Each tile offers its columns as
candidates for its rows, and its rows as candidates for its columns.
"""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.cores import side_by_side
from core.domain.arrays import FloatArray, IntArray
from core.errors import DegenerateEmbeddingsError, InvalidSpecError

Double: TypeAlias = NDArray[np.float64]

SPARE_CANDIDATES = 10
"""Number of candidates per row in addition to k. More candidates make step 3 rarer. Chosen by hand; not measured."""
TILE_BYTES = 4 << 20
"""Size of the similarities that one thread computes at once. A thread holds two such arrays. Chosen by hand; not
measured."""
STRIP_ROWS = math.isqrt(TILE_BYTES // 4)
"""Largest number of rows in a strip. `_Strip.offer` requires that row numbers fit into 16 bits."""
BLOCK_BYTES = 8 << 20
"""Size of the double-precision distances that are held at once. Chosen by hand; not measured."""
MOST_THREADS = 16
"""Largest number of threads. Memory grows with the number of threads. Chosen by hand; not measured."""
RERANK_BYTES = 1 << 20
"""Size of the candidates' features that are held at once, so that they fit into a core's cache. Chosen by hand; not
measured."""
SAME_DIRECTION = 100 * float(np.finfo(np.float64).epsneg)
"""Smaller values of 1 - cos are rounding error and become 0. cleanlab uses the same limit."""


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The k-NN graph of one frame. Each row is sorted by distance, then by index.

    Attributes:
        indices: (N, k) int64, rows of the neighbours. A point is not its own neighbour.
        distances: (N, k) float32, cosine distance 1 - cos, 0..2. Higher = less similar.
    """

    indices: IntArray
    distances: FloatArray


@dataclass(frozen=True, slots=True)
class _Points:
    """The embeddings of one frame, prepared for the search.

    Attributes:
        features: (N, D), the embeddings. If some rows are zero, one more column is added: 1 for zero rows, 0 for the
            others.
        norms: (N,) float64, norm of each row of `features`, above 0.
        centred: (N, D) float32, unit vectors minus the mean unit vector.
        half_square: (N,) float32, ||centred||^2 / 2. 1 - cos(i, j) = half_square_i + half_square_j -
            centred_i centred_j.
    """

    features: NDArray[Any]
    norms: Double
    centred: FloatArray
    half_square: FloatArray


def nearest_neighbors(embeddings: FloatArray, *, k: int) -> Neighbors:
    """Exact k nearest neighbours of every point, by cosine distance d_ij = 1 - x_i x_j / (||x_i|| ||x_j||).

    A point is not its own neighbour. A duplicate of the point is a neighbour, at distance 0. A zero vector has no
    direction: its distance is 1 to every nonzero vector and 0 to another zero vector. The function holds a copy of the
    embeddings and blocks of bounded size. It never holds an N x N array.

    Args:
        embeddings: (N, D), finite.
        k: number of neighbours, 1 to N - 1.

    Returns:
        Indices (N, k) int64 and distances (N, k) float32, nearest first.

    Raises:
        InvalidSpecError: k is below 1 or above N - 1.
        DegenerateEmbeddingsError: an embedding is NaN or infinite.

    >>> nearest_neighbors(np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32), k=1).indices.ravel()
    array([1, 0, 1])
    """
    n_points = len(embeddings)
    if not 1 <= k < n_points:
        raise InvalidSpecError(
            f"k is {k}, but each embedding has {n_points - 1} others: ask for 1 to {n_points - 1}.",
            field="score.k",
        )
    points = _prepare(np.asarray(embeddings))
    n_candidates = min(k + SPARE_CANDIDATES, n_points - 1)
    strips = [_Strip(rows, n_candidates) for rows in _portions(n_points)]
    indices = np.empty((n_points, k), dtype=np.int64)
    distances = np.empty((n_points, k), dtype=np.float32)

    def rank(strip: _Strip) -> IntArray:
        """Rank the candidates of a strip. Return the rows that must be compared with all points."""
        rows, candidates = strip.rows, strip.candidates
        exact = _pair_distances(points, rows, candidates)
        order = np.lexsort((candidates, exact))[:, :k]
        indices[rows] = np.take_along_axis(candidates, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
        return rows[_unsure(points, rows, strip.nearness, k=k) & (n_candidates < n_points - 1)]

    if len(strips) == 1:
        _compare_within(points, strips[0])
        unsure = [rank(strips[0])]
    else:
        with side_by_side(min(len(strips), MOST_THREADS)) as each:
            each(lambda strip: _compare_within(points, strip), strips)
            each(lambda pair: _compare(points, *pair), combinations(strips, 2))
            unsure = each(rank, strips)
    for rows, all_indices, all_distances in _in_double(points, np.concatenate(unsure), k):
        indices[rows], distances[rows] = all_indices, all_distances
    return Neighbors(indices=indices, distances=distances)


class _Strip:
    """Consecutive rows, and the best candidates found so far for each row.

    Attributes:
        rows: (B,), consecutive rows.
        candidates: (B, c), rows of the candidates, unordered.
        nearness: (B, c) float32, approximately half_square_i - distance for each candidate; -inf for an empty place.
            Higher = nearer.
        limit: (B,) float32, the least nearness of each row. A limit never falls, so a thread may read the limit while
            another thread writes.
    """

    def __init__(self, rows: IntArray, n_candidates: int) -> None:
        self.rows = rows
        self.candidates = np.zeros((len(rows), n_candidates), dtype=np.int64)
        self.nearness = np.full((len(rows), n_candidates), -np.inf, dtype=np.float32)
        self.limit = np.full(len(rows), -np.inf, dtype=np.float32)
        self._turn = threading.Lock()

    @property
    def some(self) -> slice:
        """The rows as a slice."""
        return slice(int(self.rows[0]), int(self.rows[-1]) + 1)

    def offer_all(self, others: IntArray, nearness: FloatArray) -> None:
        """Offer the same candidates to every row of the strip, and keep the best.

        Args:
            others: (M,), rows of the candidates.
            nearness: (B, M), nearness of each candidate to each row of the strip.
        """
        self._keep(slice(None), np.broadcast_to(others, nearness.shape), nearness)

    def offer(self, rows: IntArray, others: IntArray, nearness: FloatArray) -> None:
        """Offer single candidates to single rows, and keep the best.

        Args:
            rows: (P,), positions within the strip, 0 to B - 1.
            others: (P,), row of the candidate for each position.
            nearness: (P,), nearness of each candidate.
        """
        if not len(rows):
            return
        order = np.argsort(rows.astype(np.uint16), kind="stable")  # NumPy sorts 16-bit integers by radix
        rows = rows[order]
        met, first, counts = np.unique(rows, return_index=True, return_counts=True)
        at = np.repeat(np.arange(len(met)), counts), np.arange(len(rows)) - np.repeat(first, counts)
        padded = np.full((len(met), counts.max()), -np.inf, dtype=np.float32)
        padded[at] = nearness[order]
        columns = np.zeros(padded.shape, dtype=np.int64)
        columns[at] = others[order]
        with self._turn:
            self._keep(met, columns, padded)

    def _keep(self, rows: IntArray | slice, others: IntArray, nearness: FloatArray) -> None:
        kept = self.candidates.shape[1]
        if nearness.shape[1] < kept or not np.isneginf(self.nearness[rows]).all():  # an empty strip needs no merge
            others = np.concatenate([self.candidates[rows], others], axis=1)
            nearness = np.concatenate([self.nearness[rows], nearness], axis=1)
        n_worse = others.shape[1] - kept
        best = np.argpartition(nearness, n_worse, axis=1)[:, n_worse:]
        self.candidates[rows] = np.take_along_axis(others, best, axis=1)
        self.nearness[rows] = np.take_along_axis(nearness, best, axis=1)
        self.limit[rows] = self.nearness[rows].min(axis=1)


def _portions(n_points: int) -> list[IntArray]:
    """Split all rows into strips. The similarities of two strips take at most TILE_BYTES."""
    return np.array_split(np.arange(n_points), -(-n_points // STRIP_ROWS))


def _compare_within(points: _Points, strip: _Strip) -> None:
    """Find candidates for each row of a strip among its other rows."""
    mine = points.centred[strip.some]
    nearness = mine @ mine.T
    nearness -= points.half_square[strip.some]
    np.fill_diagonal(nearness, -np.inf)
    strip.offer_all(strip.rows, nearness)


def _compare(points: _Points, one: _Strip, other: _Strip) -> None:
    """Find candidates for each row of either strip among the rows of the other strip.

    Most pairs are below the limit of their row and are skipped. If another thread raises a limit meanwhile, some
    offered candidates are not kept. The result is the same.
    """
    product = points.centred[one.some] @ points.centred[other.some].T
    nearness = product - points.half_square[other.some]
    mine, theirs = np.divmod(np.flatnonzero(nearness > one.limit[:, None]), len(other.rows))
    one.offer(mine, other.rows[theirs], nearness[mine, theirs])
    np.subtract(product, points.half_square[one.some, None], out=nearness)
    mine, theirs = np.divmod(np.flatnonzero(nearness > other.limit), len(other.rows))
    other.offer(theirs, one.rows[mine], nearness[mine, theirs])


def _prepare(embeddings: NDArray[Any]) -> _Points:
    features = embeddings
    norms = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    if not np.isfinite(norms).all():
        n_bad = int((~np.isfinite(norms)).sum())
        raise DegenerateEmbeddingsError(
            f"{n_bad} of {len(norms)} embeddings are NaN or infinite: the training diverged. "
            "Try a lower train.learning_rate, or train.precision fp32."
        )
    zero = norms == 0
    if zero.any():
        features = np.column_stack([features, zero.astype(features.dtype)])
        norms[zero] = 1
    centred = np.empty(features.shape, dtype=np.float32)
    mean = np.einsum("nd,n->d", features, 1 / norms, dtype=np.float64) / len(norms)
    for start in range(0, len(norms), 1024):
        some = slice(start, start + 1024)
        centred[some] = features[some] / norms[some, None] - mean
    half_square = np.einsum("nd,nd->n", centred, centred, dtype=np.float64) / 2
    return _Points(features, norms, centred, half_square.astype(np.float32))


def _pair_distances(points: _Points, rows: IntArray, others: IntArray) -> Double:
    """Cosine distance of each row (B,) to each of its others (B, c), in double precision."""
    n_dims = points.features.shape[1]
    n_some = max(1, RERANK_BYTES // (8 * n_dims * others.shape[1]))
    cosine = np.empty(others.shape)
    for start in range(0, len(rows), n_some):
        some = slice(start, start + n_some)
        theirs = points.features[others[some]].astype(np.float64)  # (b, c, D)
        own = points.features[rows[some]].astype(np.float64)  # (b, D)
        cosine[some] = np.matmul(theirs, own[:, :, None])[:, :, 0]
    cosine /= points.norms[others] * points.norms[rows, None]
    return _distance(cosine)


def _distance(cosine: Double) -> Double:
    distance = np.clip(1 - cosine, 0, 2)
    distance[distance < SAME_DIRECTION] = 0
    return distance


def _unsure(points: _Points, rows: IntArray, approximate: FloatArray, *, k: int) -> NDArray[np.bool_]:
    """True for each row where a point that is not a candidate could be nearer than the k-th candidate.

    Args:
        points: N points.
        rows: (B,), the rows to check.
        approximate: (B, c), nearness of the candidates in single precision.
        k: number of neighbours, 1 to c.

    Returns:
        (B,) bool. True if nearness of the k-th and of the worst candidate differ by at most twice the bound on the
        rounding error.
    """
    ranked = np.sort(approximate, axis=1)
    margin = ranked[:, -k] - ranked[:, 0]
    largest = np.sqrt(2 * points.half_square.max())
    radius = np.sqrt(2 * points.half_square[rows])
    scale = (radius + largest) * largest
    error = np.finfo(np.float32).eps * (4 + np.sqrt(points.features.shape[1])) * scale
    unsure: NDArray[np.bool_] = margin <= 2 * error
    return unsure


def _in_double(points: _Points, rows: IntArray, k: int) -> Iterator[tuple[IntArray, IntArray, Double]]:
    """Search the neighbours of some rows among all points in double precision.

    Args:
        points: N points.
        rows: (F,), the rows to search for.
        k: number of neighbours, 1 to N - 1.

    Yields:
        For each block: rows (B,), neighbours (B, k) and distances (B, k), nearest first.
    """
    if not len(rows):
        return
    n_points = len(points.norms)
    n_block = max(1, BLOCK_BYTES // (8 * n_points))
    everything = points.features.astype(np.float64) / points.norms[:, None]
    for start in range(0, len(rows), n_block):
        some = rows[start : start + n_block]
        distance = _distance(everything[some] @ everything.T)
        distance[np.arange(len(some)), some] = np.inf
        limits = np.partition(distance, k - 1, axis=1)[:, k - 1]
        indices = np.empty((len(some), k), dtype=np.int64)
        for row, limit in enumerate(limits):
            near = np.flatnonzero(distance[row] <= limit)
            indices[row] = near[np.argsort(distance[row, near], kind="stable")][:k]
        yield some, indices, np.take_along_axis(distance, indices, axis=1)
