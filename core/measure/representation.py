"""Measures of the representation itself: CKA, effective rank and neural collapse. No measure depends on the layout."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, IntArray

Double: TypeAlias = NDArray[np.float64]

FEWEST_FOR_CKA = 4
"""Least number of points. The unbiased HSIC divides by n (n - 3)."""
NOTHING = 1e-12
"""Relative size below which a value is rounding error in double precision. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Embeddings of M points, prepared for `cka`.

    Attributes:
        features: (M, D) float64, centred, with Frobenius norm 1. If all points coincide, the features are not
            scaled.
        squares: (M,) float64, squared norm of each row of `features`: the diagonal of the Gram matrix.
        own: unbiased HSIC of the features with themselves.
    """

    features: Double
    squares: Double
    own: float


def linear_kernel(embeddings: NDArray[np.floating]) -> Kernel:
    """Centre and scale embeddings for `cka`.

    Args:
        embeddings: (M, D), finite.
    """
    features = embeddings.astype(np.float64)
    before = np.linalg.norm(features)
    features -= features.mean(axis=0)
    size = np.linalg.norm(features)
    if size > NOTHING * before:
        features /= size
    squares = np.einsum("nd,nd->n", features, features)
    return Kernel(features, squares, own=_hsic(features, squares, features, squares))


def cka(one: Kernel, other: Kernel) -> float:
    """Linear centred kernel alignment (CKA) of two sets of embeddings of the same points, with the unbiased HSIC.

    The unbiased HSIC omits the diagonals of the Gram matrices. With the diagonals, independent embeddings of few points
    would have a high CKA.

    Args:
        one: kernel of embeddings (M, D).
        other: kernel of embeddings (M, E) of the same points.

    Returns:
        At most 1. 1: equal up to rotation, scale and shift. Near 0, above or below: unrelated. NaN if M is below
        FEWEST_FOR_CKA or if one set of embeddings has no variance.

    References:
        Kornblith et al.: Similarity of neural network representations revisited. arXiv:1905.00414.
        Song et al.: Feature selection via dependence maximization (the unbiased HSIC). JMLR 13, 2012.
    """
    n = len(one.squares)
    if min(one.own, other.own) * n * (n - 3) <= NOTHING:  # the features have norm 1: a smaller value is rounding error
        return float("nan")
    shared = _hsic(one.features, one.squares, other.features, other.squares)
    return float(min(1.0, shared / np.sqrt(one.own * other.own)))


def _hsic(one: Double, squares: Double, other: Double, others: Double) -> float:
    """Unbiased HSIC of centred features X and Y, computed without Gram matrices if they would be large.

    K is X X' without its diagonal a. L is Y Y' without its diagonal b. Then tr(K L) = ||X' Y||^2 - a'b. The rows of K
    sum to -a, because X is centred.

    Args:
        one: X, (M, D).
        squares: a, (M,).
        other: Y, (M, E).
        others: b, (M,).

    Returns:
        The HSIC; 0 if M is below FEWEST_FOR_CKA.
    """
    n = len(one)
    if n < FEWEST_FOR_CKA:
        return 0.0
    diagonals = float(squares @ others)
    product = _square_of_product(one, other) - diagonals
    mean = float(squares.sum() * others.sum()) / ((n - 1) * (n - 2))
    return (product + mean - 2 * diagonals / (n - 2)) / (n * (n - 3))


def _square_of_product(one: Double, other: Double) -> float:
    """||X' Y||^2, from X' Y (D, E) or from the Gram matrices (M, M), whichever is smaller."""
    if one.shape[1] * other.shape[1] <= len(one) ** 2:
        return float(np.square(one.T @ other).sum())
    return float(((one @ one.T) * (other @ other.T)).sum())


def rank_me(embeddings: FloatArray) -> float:
    """RankMe, the effective rank: exp(-sum_i p_i log p_i), p_i = sigma_i / sum_j sigma_j.

    sigma_i are the singular values of the embeddings. The embeddings are not centred. RankMe falls if the
    representation collapses.

    Args:
        embeddings: (N, D), finite.

    Returns:
        1 (one direction) to min(N, D) (all directions equally strong); 0 if all embeddings are zero.

    References:
        Garrido et al.: RankMe: assessing the downstream performance of pretrained self-supervised representations by
            their rank. arXiv:2210.02885.
    """
    doubles = embeddings.astype(np.float64)
    smaller = doubles.T @ doubles if doubles.shape[0] >= doubles.shape[1] else doubles @ doubles.T
    singular = np.sqrt(scipy.linalg.eigvalsh(smaller).clip(min=0))
    total = singular.sum()
    if total == 0:
        return 0.0
    fractions = singular / total
    fractions = fractions[fractions > 0]
    return float(np.exp(-(fractions * np.log(fractions)).sum()))


def within_class_variability(embeddings: FloatArray, labels: IntArray) -> float:
    """NC1 of neural collapse: tr(S_w pinv(S_b)) / K.

    S_w is the covariance within the K classes. S_b is the covariance of the class means.

    Args:
        embeddings: (N, D), finite.
        labels: (N,), class of each point.

    Returns:
        At least 0. 0: the points of each class coincide. NaN for fewer than two classes. Infinite if all class means
        coincide.

    References:
        Papyan, Han, Donoho: Prevalence of neural collapse during the terminal phase of deep learning training.
            arXiv:2008.08186.
    """
    doubles = embeddings.astype(np.float64)
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:  # noqa: PLR2004 - the spread between classes requires two
        return float("nan")
    members = scipy.sparse.csr_array((1 / counts[inverse], (inverse, np.arange(len(doubles)))))
    means = members @ doubles
    apart = (means - means.mean(axis=0)) / np.sqrt(len(classes))
    # S_b = apart' apart has rank K - 1 at most. The singular vectors of `apart` apply its pseudo-inverse.
    _, singular, directions = scipy.linalg.svd(apart, full_matrices=False)
    kept = singular > singular.max() * max(apart.shape) * np.finfo(np.float64).eps
    if not kept.any():
        return float("inf")
    axes = directions[kept].T / singular[kept]
    seen = doubles @ axes - (means @ axes)[inverse]
    return float((seen**2).sum() / len(doubles) / len(classes))
