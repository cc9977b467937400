"""Exact nearest neighbours by cosine distance, for one frame.

Late in training the points of a class are so close together that 1 - cos is about 1e-3, and before training
often all points are: a single-precision product then has few right digits left. So single precision only
chooses candidates, with the mean direction taken out, and double precision ranks them. A row whose
candidates could have missed a neighbour, by a bound on the rounding error, is computed in double precision
against all points.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.cores import side_by_side
from core.domain.arrays import FloatArray, IntArray
from core.errors import DegenerateEmbeddingsError, InvalidSpecError

Double: TypeAlias = NDArray[np.float64]

SPARE_CANDIDATES = 10
BLOCK_BYTES = 8 << 20  # of similarities that a thread holds at once
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
        centred: (M, D) float32, directions less their mean; rows past N are padding.
        half_square: (M,) float32, ||centred||^2 / 2, 1 - cos = half_square_i + half_square_j - dot_ij.
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
    n_candidates = min(k + SPARE_CANDIDATES, n_points - 1)
    width = _group_width(n_points, n_candidates)
    points = _prepare(np.asarray(embeddings), n_rows=-(-n_points // width) * width)
    indices = np.empty((n_points, k), dtype=np.int64)
    distances = np.empty((n_points, k), dtype=np.float32)

    def find(rows: IntArray) -> IntArray:
        """Fill in these rows; returns those that must be looked at in double precision."""
        candidates, approximate = _candidates(points, rows, n_candidates, width)
        exact = _pair_distances(points, rows, candidates)
        order = np.lexsort((candidates, exact))[:, :k]
        indices[rows] = np.take_along_axis(candidates, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
        return rows[_unsure(points, rows, approximate, k=k) & (n_candidates < n_points - 1)]

    blocks = _blocks(n_points, n_columns=len(points.centred))
    if len(blocks) == 1:
        unsure = [find(blocks[0])]
    else:
        with side_by_side(min(len(blocks), MOST_THREADS)) as each:
            unsure = each(find, blocks)
    for rows, all_indices, all_distances in _in_double(points, np.concatenate(unsure), k):
        indices[rows], distances[rows] = all_indices, all_distances
    return Neighbors(indices=indices, distances=distances)


def _blocks(n_points: int, *, n_columns: int) -> list[IntArray]:
    """All rows, in blocks whose similarities to all columns are of BLOCK_BYTES at most."""
    n_block = max(1, BLOCK_BYTES // (4 * n_columns))
    return [np.arange(start, min(start + n_block, n_points)) for start in range(0, n_points, n_block)]


def _prepare(embeddings: NDArray[Any], *, n_rows: int) -> _Points:
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
    centred = np.zeros((n_rows, features.shape[1]), dtype=np.float32)
    mean = np.einsum("nd,n->d", features, 1 / norms, dtype=np.float64) / len(norms)
    for start in range(0, len(norms), 1024):
        some = slice(start, start + 1024)
        centred[some][: len(norms[some])] = features[some] / norms[some, None] - mean
    half_square = np.einsum("nd,nd->n", centred, centred, dtype=np.float64) / 2
    return _Points(features, norms, centred, half_square.astype(np.float32))


def _group_width(n_points: int, n_candidates: int) -> int:
    """Columns a group, so that the two steps of `_largest` look at about as many numbers each."""
    return max(1, round(math.sqrt(n_points / n_candidates)))


def _candidates(points: _Points, rows: IntArray, n_candidates: int, width: int) -> tuple[IntArray, FloatArray]:
    """Candidates of neighbouring rows (B,), each (B, c): who they are, and approximately half_square_i - distance."""
    n_points = len(points.norms)
    similarity = points.centred[rows[0] : rows[-1] + 1] @ points.centred.T
    similarity -= points.half_square
    similarity[:, n_points:] = -np.inf
    similarity[np.arange(len(rows)), rows] = -np.inf
    candidates = _largest(similarity, n_candidates, width)
    return candidates, np.take_along_axis(similarity, candidates, axis=1)


def _largest(values: FloatArray, count: int, width: int) -> IntArray:
    """Columns of the `count` largest of each row, (B, count), in no order.

    They lie in the `count` groups of columns that have the largest maxima, so only those are searched. A group is
    every n_groups-th column: its maximum is then taken along whole rows.
    """
    n_rows, n_columns = values.shape
    n_groups = n_columns // width
    if width == 1 or count >= n_groups:
        return _top_columns(values, count)
    maxima = values.reshape(n_rows, width, n_groups).max(axis=1)
    groups = _top_columns(maxima, count)
    columns = (groups[:, :, None] + n_groups * np.arange(width)).reshape(n_rows, count * width)
    best = _top_columns(np.take_along_axis(values, columns, axis=1), count)
    return np.take_along_axis(columns, best, axis=1)


def _top_columns(values: FloatArray, count: int) -> IntArray:
    return np.argpartition(values, values.shape[1] - count, axis=1)[:, values.shape[1] - count :]


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
