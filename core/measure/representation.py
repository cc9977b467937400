"""What the representation itself does, whatever is drawn of it.

How it drifts, how many directions it uses, how its classes come together.
"""

from typing import TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, IntArray

Double: TypeAlias = NDArray[np.float64]

FEWEST_FOR_CKA = 4


def linear_cka(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Linear centred kernel alignment of two sets of embeddings of the same points, with the unbiased HSIC.

    1: the same up to rotation and scale; near 0, above or below: nothing in common. The diagonals of the Gram matrices
    are left out: with them, independent embeddings of few points look alike.

    Args:
        one: (M, D); M x M is held, so give it some of many points.
        other: (M, E).

    Returns:
        A number up to 1; NaN for fewer than FEWEST_FOR_CKA points, or where one of them has no variance.

    References:
        Kornblith et al.: Similarity of neural network representations revisited. arXiv:1905.00414.
        Song et al.: Feature selection via dependence maximization (the unbiased HSIC). JMLR 13, 2012.
    """
    if len(one) < FEWEST_FOR_CKA:
        return float("nan")
    first, second = _gram(one), _gram(other)
    scale = _hsic(first, first) * _hsic(second, second)
    return float(min(1.0, _hsic(first, second) / np.sqrt(scale))) if scale > 0 else float("nan")


def _gram(embeddings: NDArray[np.floating]) -> Double:
    doubles = embeddings.astype(np.float64)
    doubles -= doubles.mean(axis=0)
    size = np.linalg.norm(doubles)
    if size > 0:
        doubles /= size
    gram: Double = doubles @ doubles.T
    np.fill_diagonal(gram, 0)
    return gram


def _hsic(first: Double, second: Double) -> float:
    """Of Gram matrices without their diagonals."""
    n = len(first)
    sums, others = first.sum(axis=0), second.sum(axis=0)
    product = (first * second).sum()
    mean = sums.sum() * others.sum() / ((n - 1) * (n - 2))
    return float((product + mean - 2 * (sums @ others) / (n - 2)) / (n * (n - 3)))


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
    means = np.zeros((len(classes), doubles.shape[1]))
    np.add.at(means, inverse, doubles)
    means /= counts[:, None]
    apart = (means - means.mean(axis=0)) / np.sqrt(len(classes))
    # S_b = apart' apart has rank K - 1 at most: its pseudo-inverse is applied by the singular vectors of `apart`.
    _, singular, directions = scipy.linalg.svd(apart, full_matrices=False)
    kept = singular > singular.max() * max(apart.shape) * np.finfo(np.float64).eps
    if not kept.any():
        return float("inf")
    seen = (doubles - means[inverse]) @ (directions[kept].T / singular[kept])
    return float((seen**2).sum() / len(doubles) / len(classes))
