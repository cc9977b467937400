"""What the representation itself does, whatever is drawn of it.

How it drifts, how many directions it uses, how its classes come together.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, IntArray

Double: TypeAlias = NDArray[np.float64]

FEWEST_FOR_CKA = 4
NOTHING = 1e-12
"""A share that is rounding error."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Embeddings of M points as centred kernel alignment sees them: around their mean, and of size 1 all together.

    Attributes:
        features: (M, D).
        squares: (M,), what each point's own product is.
        own: the unbiased HSIC with itself.
    """

    features: Double
    squares: Double
    own: float


def linear_kernel(embeddings: NDArray[np.floating]) -> Kernel:
    """What `cka` compares, of embeddings (M, D)."""
    features = embeddings.astype(np.float64)
    before = np.linalg.norm(features)
    features -= features.mean(axis=0)
    size = np.linalg.norm(features)
    if size > NOTHING * before:
        features /= size
    squares = np.einsum("nd,nd->n", features, features)
    return Kernel(features, squares, own=_hsic(features, squares, features, squares))


def cka(one: Kernel, other: Kernel) -> float:
    """Linear centred kernel alignment of two sets of embeddings of the same points, with the unbiased HSIC.

    1: the same up to rotation and scale; near 0, above or below: nothing in common. The diagonals of the Gram matrices
    are left out: with them, independent embeddings of few points look alike.

    Args:
        one: of (M, D) embeddings.
        other: of (M, E).

    Returns:
        A number up to 1; NaN for fewer than FEWEST_FOR_CKA points, or where one of them has no variance.

    References:
        Kornblith et al.: Similarity of neural network representations revisited. arXiv:1905.00414.
        Song et al.: Feature selection via dependence maximization (the unbiased HSIC). JMLR 13, 2012.
    """
    n = len(one.squares)
    if min(one.own, other.own) * n * (n - 3) <= NOTHING:  # features are of size 1: what is left is rounding error
        return float("nan")
    shared = _hsic(one.features, one.squares, other.features, other.squares)
    return float(min(1.0, shared / np.sqrt(one.own * other.own)))


def _hsic(one: Double, squares: Double, other: Double, others: Double) -> float:
    """Unbiased HSIC of centred features, from their products: no Gram matrix is needed. 0 of too few points.

    With K = X X' without its diagonal and L likewise: tr(K L) = ||X' Y||^2 - a b, where a and b are the diagonals; as X
    is centred, the rows of K sum to -a.
    """
    n = len(one)
    if n < FEWEST_FOR_CKA:
        return 0.0
    diagonals = float(squares @ others)
    product = _square_of_product(one, other) - diagonals
    mean = float(squares.sum() * others.sum()) / ((n - 1) * (n - 2))
    return (product + mean - 2 * diagonals / (n - 2)) / (n * (n - 3))


def _square_of_product(one: Double, other: Double) -> float:
    """||X' Y||^2, by the smaller of the products that give it."""
    if one.shape[1] * other.shape[1] <= len(one) ** 2:
        return float(np.square(one.T @ other).sum())
    return float(((one @ one.T) * (other @ other.T)).sum())


def rank_me(embeddings: FloatArray) -> float:
    """Effective rank: exp of the entropy of the singular values, each as a share of their sum.

    1: one direction; min(N, D): all directions alike. Falls when a representation collapses.

    Args:
        embeddings: (N, D), finite.

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
    shares = singular / total
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def within_class_variability(embeddings: FloatArray, labels: IntArray) -> float:
    """Neural collapse's NC1, tr(S_w pinv(S_b)) / K: spread within the K classes, in units of the spread between them.

    0: each class is one point. NaN where fewer than two classes are there.

    Args:
        embeddings: (N, D), finite.
        labels: (N,).

    References:
        Papyan, Han, Donoho: Prevalence of neural collapse during the terminal phase of deep learning training.
            arXiv:2008.08186.
    """
    doubles = embeddings.astype(np.float64)
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:  # noqa: PLR2004 - a spread between
        return float("nan")
    members = scipy.sparse.csr_array((1 / counts[inverse], (inverse, np.arange(len(doubles)))))
    means = members @ doubles
    apart = (means - means.mean(axis=0)) / np.sqrt(len(classes))
    # S_b = apart' apart has rank K - 1 at most: its pseudo-inverse is applied by the singular vectors of `apart`.
    _, singular, directions = scipy.linalg.svd(apart, full_matrices=False)
    kept = singular > singular.max() * max(apart.shape) * np.finfo(np.float64).eps
    if not kept.any():
        return float("inf")
    axes = directions[kept].T / singular[kept]
    seen = doubles @ axes - (means @ axes)[inverse]
    return float((seen**2).sum() / len(doubles) / len(classes))
