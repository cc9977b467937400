"""Principal axes of one frame: the directions of greatest variance, of as many features as today's models have."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.domain.arrays import FloatArray
from core.errors import DegenerateEmbeddingsError

Double: TypeAlias = NDArray[np.float64]

EXACT_DIMS = 256
"""Up to so many features (or points) the whole spectrum costs less than to iterate for a few axes of it."""
SPARE_AXES = 8
"""Iterated beside those that are asked for: they carry the error."""
MAX_ROUNDS = 8
TOLERANCE = 1e-5
"""Of the widest variance: what the two widest may still be wrong by."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Directions of greatest variance.

    Attributes:
        directions: (D, r) orthonormal columns, widest first.
        variance: (r,) sum over the points of the squared coordinate along each.
        total: sum over all directions.
    """

    directions: Double
    variance: Double
    total: float


def centre(embeddings: FloatArray) -> tuple[FloatArray, Double]:
    """(N, D) float32 without its mean, and the mean (D,)."""
    mean: Double = embeddings.mean(axis=0, dtype=np.float64)
    centred: FloatArray = (embeddings - mean.astype(embeddings.dtype)).astype(np.float32, copy=False)
    return centred, mean


def principal_axes(centred: FloatArray, *, count: int, start: Double | None = None) -> Axes:
    """The `count` widest directions of centred points, or fewer where there are no more.

    Narrow frames are solved whole, in double precision. Wide ones by subspace iteration, two passes over the points a
    round. The error of a variance shrinks with every round by the square of the narrowest over the second variance; it
    is enough when what is left after the last change is little. From a good start, such as the axes of the checkpoint
    before, that is one round or two. A spectrum so flat that it does not settle is solved whole too. The two widest are
    waited for; later ones are roughly right.

    Args:
        centred: (N, D), finite.
        count: at least 1.
        start: (D, s) directions to begin with; any that are missing are drawn at random, always the same ones.

    References:
        Halko, Martinsson, Tropp: Finding structure with randomness. arXiv:0909.4061.
        Saad: Numerical methods for large eigenvalue problems, section 5.2, on the rate. doi:10.1137/1.9781611970739.
    """
    n_points, n_dims = centred.shape
    total = float(np.einsum("nd,nd->n", centred, centred).sum(dtype=np.float64))
    count = min(count, n_points, n_dims)
    width = count + SPARE_AXES
    if min(n_points, n_dims) <= max(EXACT_DIMS, 2 * width):
        return _whole(centred, count, total)
    basis, _ = scipy.linalg.qr(_begin(start, n_dims, width), mode="economic")
    product = _scatter_times(centred, basis)
    before = np.einsum("dw,dw->w", basis, product)[:2]
    for done in range(1, MAX_ROUNDS + 1):
        wider, _ = scipy.linalg.qr(product, mode="economic")
        product = _scatter_times(centred, wider)
        inner = wider.T @ product
        variance, turn = scipy.linalg.eigh((inner + inner.T) / 2)
        variance, turn = variance[::-1].clip(min=0), turn[:, ::-1]
        basis, product = wider @ turn, product @ turn
        rate = (variance[-1] / variance[1]) ** 2 if variance[1] > 0 else 0.0
        settled = rate * np.abs(variance[:2] - before).max() <= TOLERANCE * variance[0] * (1 - rate)
        if settled and (done > 1 or start is not None):
            return Axes(basis[:, :count], variance[:count], total)
        before = variance[:2]
    return _whole(centred, count, total)


def _scatter_times(centred: FloatArray, basis: Double) -> Double:
    """(D, w): the scatter of the points times a basis; the scatter itself, (D, D), is never made."""
    product: Double = (centred.T @ (centred @ basis.astype(np.float32))).astype(np.float64)
    return product


def _begin(start: Double | None, n_dims: int, width: int) -> Double:
    drawn: Double = np.random.default_rng(0).standard_normal((n_dims, width))
    if start is not None:
        drawn[:, : min(width, start.shape[1])] = start[:, :width]
    return drawn


def _whole(centred: FloatArray, count: int, total: float) -> Axes:
    doubles = centred.astype(np.float64)
    n_points, n_dims = doubles.shape
    if n_points < n_dims:
        _, singular, rows = scipy.linalg.svd(doubles, full_matrices=False)
        return Axes(rows[:count].T, singular[:count] ** 2, total)
    values, vectors = scipy.linalg.eigh(doubles.T @ doubles, subset_by_index=(n_dims - count, n_dims - 1))
    return Axes(vectors[:, ::-1], values[::-1].clip(min=0), total)


def upright(directions: Double) -> Double:
    """(D, r) with signs such that the feature that weighs most on each axis (the first, if several do) points up."""
    strongest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    turned: Double = directions * np.where(strongest < 0, -1, 1)
    return turned


def check(embeddings: NDArray[Any]) -> None:
    """Refuse what cannot be laid out in a plane.

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, or a value that is NaN or infinite.
    """
    n_points, n_dims = embeddings.shape
    if n_points < 2 or n_dims < 2:  # noqa: PLR2004 - a plane needs two
        raise DegenerateEmbeddingsError(
            f"{n_points} embeddings of {n_dims} features cannot be laid out in a plane: it takes 2 of both. "
            "Raise capture.probe_size, or take a wider model."
        )
    # A sum tells of most what looking at each value would, and in a fraction of the time.
    if not (np.isfinite(embeddings @ np.ones(n_dims, embeddings.dtype)).all() or np.isfinite(embeddings).all()):
        raise DegenerateEmbeddingsError(
            "Embeddings are NaN or infinite: the training diverged. Try a lower train.learning_rate, or "
            "train.precision fp32."
        )


def check_spread(embeddings: NDArray[Any]) -> None:
    """Refuse a frame that has no directions.

    Raises:
        DegenerateEmbeddingsError: all points are the same.
    """
    if (embeddings == embeddings[0]).all():
        raise DegenerateEmbeddingsError(
            "All embeddings are the same: the model has collapsed, or the probe images are all alike. "
            "Try a lower train.learning_rate, or other images."
        )


def pca(embeddings: FloatArray, *, start: NDArray[Any] | None = None) -> tuple[FloatArray, float, NDArray[Any]]:
    """The two axes of greatest variance of one frame: Y = (X - mean) V, V the top eigenvectors of X'X.

    The sign of an axis is free; here the feature that weighs most on it (the first, if several weigh the same) points
    up. Axes of equal variance may be turned within their plane: any turn is as good, and the same library on the same
    machine always takes the same one. Where all points lie on a line, the second axis is zero.

    Args:
        embeddings: (N, D), finite, N and D at least 2.
        start: (D, r), axes of a frame that is much like this one.

    Returns:
        (N, 2) float32, centred, wider axis first; the share of the variance that both axes show, 0..1; and the axes
        (D, 2).

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, a value that is NaN or infinite, or no variance.

    References:
        Pearson: On lines and planes of closest fit to systems of points in space. doi:10.1080/14786440109462720.

    >>> points, share, _ = pca(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], dtype=np.float32))
    >>> points[:, 0].tolist(), share
    ([-2.0, 0.0, 2.0], 1.0)
    """
    check(embeddings)
    check_spread(embeddings)
    centred, _ = centre(embeddings)
    axes = principal_axes(centred, count=2, start=start)
    directions = upright(axes.directions)
    points = centred @ directions.astype(np.float32)
    return points, min(1.0, float(axes.variance.sum()) / axes.total), directions
