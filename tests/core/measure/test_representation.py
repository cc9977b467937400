import numpy as np
import pytest

from core.measure.representation import cka, linear_kernel, rank_me, within_class_variability


def embeddings(n_points: int = 60, n_dims: int = 8, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_points, n_dims)).astype(np.float32)


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    return cka(linear_kernel(one), linear_kernel(other))


def unbiased_hsic(one: np.ndarray, other: np.ndarray) -> float:
    """HSIC by its definition, the mean over quadruples of different points."""
    first, second = one @ one.T, other @ other.T
    n, total, count = len(one), 0.0, 0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q])
                        count += 1
    return total / count


def test_linear_cka__by_its_definition() -> None:
    one, other = embeddings(8, 3).astype(float), embeddings(8, 4, seed=1).astype(float)
    other[:, 0] += one[:, 0]
    expected = unbiased_hsic(one, other) / np.sqrt(unbiased_hsic(one, one) * unbiased_hsic(other, other))
    assert linear_cka(one, other) == pytest.approx(expected, rel=1e-6)


def test_linear_cka__is_invariant_to_rotation_scale_and_translation() -> None:
    one = embeddings()
    turn = np.linalg.qr(embeddings(8, 8, seed=1))[0]
    assert linear_cka(one, (7 * one @ turn + 3).astype(np.float32)) == pytest.approx(1, abs=1e-4)


def test_linear_cka__of_independent_embeddings_is_near_zero() -> None:
    found = [linear_cka(embeddings(32, 16, seed=seed), embeddings(32, 16, seed=100 + seed)) for seed in range(50)]
    assert abs(np.mean(found)) < 0.03  # if the diagonals are included, it is at least 0.2


def test_linear_cka__where_there_is_none() -> None:
    assert np.isnan(linear_cka(embeddings(3), embeddings(3)))
    for value in (1.0, 0.1):
        assert np.isnan(linear_cka(embeddings(9), np.full((9, 4), value, dtype=np.float32)))
    exclusive = np.zeros((50, 8), dtype=np.float32)
    exclusive[0] = 1  # all other points are equal, so there is no variance outside the diagonal
    assert np.isnan(linear_cka(exclusive, exclusive))
    assert np.isnan(linear_cka(np.eye(100, dtype=np.float32), np.eye(100, dtype=np.float32)))


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_rank_me__as_by_singular_values(shape: tuple[int, int]) -> None:
    one = embeddings(*shape)
    singular = np.linalg.svd(one.astype(float), compute_uv=False)
    shares = singular / singular.sum()
    assert rank_me(one) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


def test_rank_me__bounds() -> None:
    assert rank_me(np.eye(6, dtype=np.float32)) == pytest.approx(6)
    assert rank_me(np.outer(np.arange(1, 9), [1, 2, 3]).astype(np.float32)) == pytest.approx(1, abs=1e-5)
    assert rank_me(np.zeros((4, 3), dtype=np.float32)) == 0


def test_within_class_variability__by_scatter_matrices() -> None:
    labels = np.arange(60) % 4
    one = embeddings() + 2 * np.eye(4, 8, dtype=np.float32)[labels]
    means = np.stack([one[labels == label].astype(float).mean(axis=0) for label in range(4)])
    within = np.mean(
        [np.outer(x - means[label], x - means[label]) for x, label in zip(one, labels, strict=True)], axis=0
    )
    centre = means.mean(axis=0)
    between = np.mean([np.outer(mean - centre, mean - centre) for mean in means], axis=0)
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / 4
    assert within_class_variability(one, labels) == pytest.approx(expected, rel=1e-6)


def test_within_class_variability__falls_as_classes_collapse() -> None:
    labels = np.arange(60) % 3
    middles = 3 * np.eye(3, 8, dtype=np.float32)[labels]
    spread = [within_class_variability(middles + size * embeddings(), labels) for size in (1, 0.5, 0)]
    assert spread[0] > spread[1] > spread[2] == pytest.approx(0, abs=1e-12)


def test_within_class_variability__where_there_is_none() -> None:
    assert np.isnan(within_class_variability(embeddings(), np.zeros(60, dtype=np.int64)))
    assert within_class_variability(np.zeros((4, 3), dtype=np.float32), np.array([0, 1, 0, 1])) == np.inf
