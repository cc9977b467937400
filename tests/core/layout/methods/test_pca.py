import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from core.errors import DegenerateEmbeddingsError
from core.layout.axes import pca


def embeddings_of(n_points: int, n_dims: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_points, n_dims)) * np.linspace(3, 0.5, n_dims) + 5).astype(np.float32)


def test_pca__by_hand() -> None:
    embeddings = np.array([[2, 0, 7], [-2, 0, 7], [0, 1, 7], [0, -1, 7]], dtype=np.float32)
    points, share, _ = pca(embeddings)
    np.testing.assert_allclose(points, embeddings[:, :2], atol=1e-6)
    assert share == pytest.approx(1)


@pytest.mark.parametrize("shape", [(300, 20), (50, 2), (12, 40), (2, 9), (40, 40), (600, 400), (400, 600)])
def test_pca__as_scikit_learn_up_to_sign(shape: tuple[int, int]) -> None:
    embeddings = embeddings_of(*shape)
    oracle = PCA(2, svd_solver="full").fit(embeddings.astype(np.float64))
    expected = oracle.transform(embeddings.astype(np.float64))
    points, share, _ = pca(embeddings)
    signs = np.sign((points * expected).sum(axis=0)) + (shape[0] == 2) * np.array([0, 1])
    np.testing.assert_allclose(points * signs, expected, atol=1e-4)
    assert share == pytest.approx(oracle.explained_variance_ratio_.sum(), abs=1e-6)
    assert points.dtype == np.float32


def test_pca__far_from_the_origin() -> None:
    embeddings = embeddings_of(100, 8)
    near, _, _ = pca(embeddings)
    far, _, _ = pca((embeddings.astype(np.float64) + 1e6).astype(np.float64))
    np.testing.assert_allclose(far, near, atol=1e-4)


def test_pca__the_strongest_feature_of_an_axis_points_up() -> None:
    embeddings = embeddings_of(200, 6)
    points, _, _ = pca(embeddings)
    flipped, _, _ = pca(-embeddings)
    np.testing.assert_allclose(flipped, -points, atol=1e-4)
    assert np.corrcoef(points[:, 0], embeddings[:, 0])[0, 1] > 0.5


@given(st.integers(3, 40), st.integers(2, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_pca__centred_uncorrelated_and_wider_first(n_points: int, n_dims: int, seed: int) -> None:
    points, share, _ = pca(embeddings_of(n_points, n_dims, seed=seed))
    covariance = np.cov(points.T.astype(np.float64))
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-4)
    assert abs(covariance[0, 1]) < 1e-4 * covariance[0, 0]
    assert covariance[0, 0] >= covariance[1, 1] * (1 - 1e-6)
    assert 0 < share <= 1


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.ones((1, 5)), "1 embeddings of 5 features"),
        (np.ones((5, 1)), "5 embeddings of 1 features"),
        (np.full((5, 3), np.nan), "NaN or infinite"),
        (np.full((5, 3), -np.inf), "NaN or infinite"),
        (np.full((5, 3), 0.1), "All embeddings are equal"),
    ],
)
def test_pca__degenerate(embeddings: np.ndarray, message: str) -> None:
    with pytest.raises(DegenerateEmbeddingsError, match=message):
        pca(embeddings.astype(np.float32))
