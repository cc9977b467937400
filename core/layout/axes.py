"""PCA of one frame: exact for few features or points, by subspace iteration otherwise."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.domain.arrays import FloatArray
from core.errors import DegenerateEmbeddingsError

Double: TypeAlias = NDArray[np.float64]

EXACT_DIMS = 256
"""With at most this many features or points, a full decomposition replaces subspace iteration. Chosen by hand; not
measured."""
SPARE_AXES = 8
"""Number of axes that are iterated in addition to the requested axes. They speed up convergence (Halko et al.). Chosen
by hand; not measured."""
MAX_ROUNDS = 8
"""Largest number of iterations before a full decomposition. Chosen by hand; not measured."""
TOLERANCE = 1e-5
"""Largest estimated error of the first two variances, relative to the first. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Principal axes of one frame.

    Attributes:
        directions: (D, r) float64, orthonormal columns, largest variance first.
        variance: (r,) float64, sum over the points of the squared coordinate along each direction.
        total: the same sum over all D directions.
    """

    directions: Double
    variance: Double
    total: float


def centre(embeddings: FloatArray) -> tuple[FloatArray, Double]:
    """Subtract the mean from embeddings.

    Args:
        embeddings: (N, D) float32, finite.

    Returns:
        The centred embeddings (N, D) float32 and the mean (D,) float64.
    """
    mean: Double = embeddings.mean(axis=0, dtype=np.float64)
    centred: FloatArray = (embeddings - mean.astype(embeddings.dtype)).astype(np.float32, copy=False)
    return centred, mean


def principal_axes(centred: FloatArray, *, count: int, start: Double | None = None) -> Axes:
    """Compute the first principal axes of centred points.

    If N or D is small, a full decomposition in double precision gives exact axes. Otherwise the function uses subspace
    iteration. Each iteration reads the points twice and multiplies the error of a variance by (v_last / v_2)^2, where
    v_last is the smallest variance of the iterated axes. The iteration ends if the estimated error of the first two
    variances is below TOLERANCE. Only the first two axes are iterated to tolerance; the rest are approximate. If
    MAX_ROUNDS iterations do not suffice, the full decomposition is used.

    Args:
        centred: (N, D) float32, finite, mean 0.
        count: number of axes, at least 1.
        start: (D, s) float64, directions to start from, for example the axes of the previous checkpoint. Missing
            directions are random, with a fixed seed. None: all directions are random.

    Returns:
        min(count, N, D) axes.

    References:
        Halko, Martinsson, Tropp: Finding structure with randomness. arXiv:0909.4061.
        Saad: Numerical methods for large eigenvalue problems, section 5.2 (convergence rate).
            doi:10.1137/1.9781611970739.
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
    """Scatter matrix times a basis, X' (X B), (D, w). The scatter matrix X' X (D, D) is never computed."""
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
    """Fix the sign of each axis: the coefficient with the largest absolute value becomes positive.

    If several coefficients have the same absolute value, the first decides.

    Args:
        directions: (D, r), one axis per column.

    Returns:
        (D, r), the same axes, some of them negated.
    """
    strongest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    turned: Double = directions * np.where(strongest < 0, -1, 1)
    return turned


def check(embeddings: NDArray[Any]) -> None:
    """Check that a frame can be laid out in a plane.

    Args:
        embeddings: (N, D).

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, or a value that is NaN or infinite.
    """
    n_points, n_dims = embeddings.shape
    if n_points < 2 or n_dims < 2:  # noqa: PLR2004 - a plane needs two
        raise DegenerateEmbeddingsError(
            f"{n_points} embeddings of {n_dims} features cannot be laid out in a plane: at least 2 of both are "
            "required. Raise capture.probe_size, or use a wider model."
        )
    # A finite row sum proves that the row is finite. Sums are much faster than a check of each value.
    if not (np.isfinite(embeddings @ np.ones(n_dims, embeddings.dtype)).all() or np.isfinite(embeddings).all()):
        raise DegenerateEmbeddingsError(
            "Embeddings are NaN or infinite: the training diverged. Try a lower train.learning_rate, or "
            "train.precision fp32."
        )


def check_spread(embeddings: NDArray[Any]) -> None:
    """Check that a frame has some variance.

    Args:
        embeddings: (N, D), N at least 1.

    Raises:
        DegenerateEmbeddingsError: all embeddings are equal.
    """
    if (embeddings == embeddings[0]).all():
        raise DegenerateEmbeddingsError(
            "All embeddings are equal: the model has collapsed, or all probe images are equal. "
            "Try a lower train.learning_rate, or other images."
        )


def pca(embeddings: FloatArray, *, start: NDArray[Any] | None = None) -> tuple[FloatArray, float, NDArray[Any]]:
    """PCA of one frame: Y = (X - mean) V, where V (D, 2) holds the first two principal axes.

    `upright` fixes the sign of each axis. If both axes have equal variance, any rotation within their plane is as good;
    the same library on the same machine always returns the same rotation. If all points lie on a line, the second
    coordinate is 0 up to rounding error.

    Args:
        embeddings: (N, D) float32, finite, N and D at least 2.
        start: (D, r), axes of a similar frame, from which the iteration starts; None: random axes.

    Returns:
        Points (N, 2) float32, centred, axis of larger variance first. explained_variance_ratio of both axes together,
        0..1. The axes (D, 2) float64.

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, a value that is NaN or infinite, or no variance.

    References:
        Pearson: On lines and planes of closest fit to systems of points in space. doi:10.1080/14786440109462720.

    >>> points, ratio, _ = pca(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], dtype=np.float32))
    >>> points[:, 0].tolist(), ratio
    ([-2.0, 0.0, 2.0], 1.0)
    """
    check(embeddings)
    check_spread(embeddings)
    centred, _ = centre(embeddings)
    axes = principal_axes(centred, count=2, start=start)
    directions = upright(axes.directions)
    points = centred @ directions.astype(np.float32)
    return points, min(1.0, float(axes.variance.sum()) / axes.total), directions
