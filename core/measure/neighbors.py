"""Exact nearest neighbours by cosine distance, for one frame.

Late in training the points of a class are so close together that 1 - cos is about 1e-3, and before training
often all points are: a single-precision product then has few right digits left. So single precision only
chooses candidates, with the mean direction taken out, and double precision ranks them. A row whose
candidates could have missed a neighbour, by a bound on the rounding error, is computed in double precision
against all points.

The product is symmetric, so half of it is computed, tile by tile: a tile tells its rows of its columns, and its
columns of its rows.
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
TILE_BYTES = 4 << 20  # of similarities that a thread computes at once; it holds them twice
STRIP_ROWS = math.isqrt(TILE_BYTES // 4)  # rows of a strip; they are counted in 16 bits
BLOCK_BYTES = 8 << 20  # of distances in double precision, held at once
MOST_THREADS = 16  # memory grows with them
RERANK_BYTES = 1 << 20  # of candidates' features held at once: they stay in the cache
SAME_DIRECTION = 100 * float(np.finfo(np.float64).epsneg)  # below this 1 - cos is rounding error, as in cleanlab


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The k-NN graph of one frame, each row sorted by distance, then by index.

    Attributes:
        indices: (N, k) int64, without the point itself.
        distances: (N, k) float32, cosine distance 1 - cos, 0..2. Higher = less alike.
    """

    indices: IntArray
    distances: FloatArray


@dataclass(frozen=True, slots=True)
class _Points:
    """Embeddings and what the search needs of them.

    Attributes:
        features: (N, D), as given; a row of zeros has an axis of its own added.
        norms: (N,), above 0.
        centred: (N, D) float32, directions less their mean.
        half_square: (N,) float32, ||centred||^2 / 2, 1 - cos = half_square_i + half_square_j - dot_ij.
    """

    features: NDArray[Any]
    norms: Double
    centred: FloatArray
    half_square: FloatArray


def nearest_neighbors(embeddings: FloatArray, *, k: int) -> Neighbors:
    """Exact k nearest neighbours of every point, by cosine distance d_ij = 1 - x_i x_j / (||x_i|| ||x_j||).

    A point is left out of its own neighbours by its index, so that a duplicate of it stays in, at distance
    0. A zero vector has no direction: it is at distance 1 from every other point, and at distance 0 from
    another zero vector. Beside the embeddings a copy of them and blocks of bounded size are held, never N x
    N.

    Args:
        embeddings: (N, D), finite.
        k: 1 to N - 1.

    Returns:
        Indices and distances, (N, k) each.

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
        """Fill in these rows; returns those that must be looked at in double precision."""
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
    """Neighbouring rows and the best candidates of each that were seen so far.

    Attributes:
        rows: (B,).
        candidates: (B, c), in no order.
        nearness: (B, c), of each candidate, approximately half_square_i - distance; -inf where there is none yet.
        limit: (B,), the least of these, which only rises: it may be read while another thread writes the others.
    """

    def __init__(self, rows: IntArray, n_candidates: int) -> None:
        self.rows = rows
        self.candidates = np.zeros((len(rows), n_candidates), dtype=np.int64)
        self.nearness = np.full((len(rows), n_candidates), -np.inf, dtype=np.float32)
        self.limit = np.full(len(rows), -np.inf, dtype=np.float32)
        self._turn = threading.Lock()

    @property
    def some(self) -> slice:
        """The rows."""
        return slice(int(self.rows[0]), int(self.rows[-1]) + 1)

    def offer_all(self, others: IntArray, nearness: FloatArray) -> None:
        """Keep the best of what there is and `others` (M,), by their nearness (B, M) to each row."""
        self._keep(slice(None), np.broadcast_to(others, nearness.shape), nearness)

    def offer(self, rows: IntArray, others: IntArray, nearness: FloatArray) -> None:
        """The same for some pairs only: the rows (P,), counted from the strip's first, and their others."""
        if not len(rows):
            return
        order = np.argsort(rows.astype(np.uint16), kind="stable")  # of 16 bits NumPy sorts many times as fast
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
        if nearness.shape[1] < kept or not np.isneginf(self.nearness[rows]).all():  # else `others` suffice
            others = np.concatenate([self.candidates[rows], others], axis=1)
            nearness = np.concatenate([self.nearness[rows], nearness], axis=1)
        n_worse = others.shape[1] - kept
        best = np.argpartition(nearness, n_worse, axis=1)[:, n_worse:]
        self.candidates[rows] = np.take_along_axis(others, best, axis=1)
        self.nearness[rows] = np.take_along_axis(nearness, best, axis=1)
        self.limit[rows] = self.nearness[rows].min(axis=1)


def _portions(n_points: int) -> list[IntArray]:
    """All rows, in strips so long that a tile of two is of TILE_BYTES at most."""
    return np.array_split(np.arange(n_points), -(-n_points // STRIP_ROWS))


def _compare_within(points: _Points, strip: _Strip) -> None:
    """Find candidates for each row of a strip among its other rows."""
    mine = points.centred[strip.some]
    nearness = mine @ mine.T
    nearness -= points.half_square[strip.some]
    np.fill_diagonal(nearness, -np.inf)
    strip.offer_all(strip.rows, nearness)


def _compare(points: _Points, one: _Strip, other: _Strip) -> None:
    """Find candidates for each row of either strip among those of the other.

    Most pairs are worse than all that a row has. Should another thread raise that limit meanwhile, more is offered than
    need be.
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
    """(B,) where a point that is no candidate could, by rounding, be nearer than the k-th candidate."""
    ranked = np.sort(approximate, axis=1)
    margin = ranked[:, -k] - ranked[:, 0]
    largest = np.sqrt(2 * points.half_square.max())
    radius = np.sqrt(2 * points.half_square[rows])
    scale = (radius + largest) * largest
    error = np.finfo(np.float32).eps * (4 + np.sqrt(points.features.shape[1])) * scale
    unsure: NDArray[np.bool_] = margin <= 2 * error
    return unsure


def _in_double(points: _Points, rows: IntArray, k: int) -> Iterator[tuple[IntArray, IntArray, Double]]:
    """The same search without candidates, for rows (F,): blocks of rows, indices and distances (B, k)."""
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
