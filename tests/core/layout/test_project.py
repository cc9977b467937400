import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from core.domain.spec import AlignSpec, ProjectSpec
from core.errors import DegenerateEmbeddingsError
from core.layout.align import align
from core.layout.project import PROJECTORS, pca, project_frames


def embeddings_of(n_points: int, n_dims: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_points, n_dims)) * np.linspace(3, 0.5, n_dims) + 5).astype(np.float32)


def test_pca__by_hand() -> None:
    embeddings = np.array([[2, 0, 7], [-2, 0, 7], [0, 1, 7], [0, -1, 7]], dtype=np.float32)
    points, share = pca(embeddings)
    np.testing.assert_allclose(points, embeddings[:, :2], atol=1e-6)
    assert share == pytest.approx(1)


@pytest.mark.parametrize("shape", [(300, 20), (50, 2), (12, 40), (2, 9), (40, 40)])
def test_pca__as_scikit_learn_up_to_sign(shape: tuple[int, int]) -> None:
    embeddings = embeddings_of(*shape)
    oracle = PCA(2, svd_solver="full").fit(embeddings.astype(np.float64))
    expected = oracle.transform(embeddings.astype(np.float64))
    points, share = pca(embeddings)
    signs = np.sign((points * expected).sum(axis=0)) + (shape[0] == 2) * np.array([0, 1])
    np.testing.assert_allclose(points * signs, expected, atol=1e-4)
    assert share == pytest.approx(oracle.explained_variance_ratio_.sum(), abs=1e-6)
    assert points.dtype == np.float32


def test_pca__far_from_the_origin() -> None:
    embeddings = embeddings_of(100, 8)
    near, _ = pca(embeddings)
    far, _ = pca((embeddings.astype(np.float64) + 1e6).astype(np.float64))
    np.testing.assert_allclose(far, near, atol=1e-4)


def test_pca__the_strongest_feature_of_an_axis_points_up() -> None:
    embeddings = embeddings_of(200, 6)
    points, _ = pca(embeddings)
    flipped, _ = pca(-embeddings)
    np.testing.assert_allclose(flipped, -points, atol=1e-4)
    assert np.corrcoef(points[:, 0], embeddings[:, 0])[0, 1] > 0.5


@given(st.integers(3, 40), st.integers(2, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_pca__centred_uncorrelated_and_wider_first(n_points: int, n_dims: int, seed: int) -> None:
    points, share = pca(embeddings_of(n_points, n_dims, seed=seed))
    covariance = np.cov(points.T.astype(np.float64))
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-4)
    assert abs(covariance[0, 1]) < 1e-4 * covariance[0, 0]
    assert covariance[0, 0] >= covariance[1, 1] * (1 - 1e-6)
    assert 0 < share <= 1


@pytest.mark.parametrize("method", PROJECTORS)
def test_projectors__deterministic(method: str) -> None:
    embeddings = embeddings_of(80, 10)
    first, second = PROJECTORS[method](embeddings), PROJECTORS[method](embeddings.copy())
    assert (first[0] == second[0]).all()
    assert first[1] == second[1]


def test_projectors__every_method_of_the_spec() -> None:
    allowed = ProjectSpec.model_json_schema()["properties"]["method"]
    assert set(PROJECTORS) == set(allowed.get("enum", [allowed.get("const")]))


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.ones((1, 5)), "1 embeddings of 5 features"),
        (np.ones((5, 1)), "5 embeddings of 1 features"),
        (np.full((5, 3), np.nan), "NaN or infinite"),
        (np.full((5, 3), -np.inf), "NaN or infinite"),
        (np.full((5, 3), 0.1), "All embeddings are the same"),
    ],
)
def test_pca__degenerate(embeddings: np.ndarray, message: str) -> None:
    with pytest.raises(DegenerateEmbeddingsError, match=message):
        pca(embeddings.astype(np.float32))


def test_project_frames() -> None:
    frames = [embeddings_of(30, 7, seed=seed) for seed in range(4)]
    done = []
    projection = project_frames(iter(frames), project=ProjectSpec(), align=AlignSpec(), on_frame=done.append)
    raw = np.stack([pca(frame)[0] for frame in frames])
    assert (projection.points == align(raw, method="rigid", reference="last")).all()
    np.testing.assert_allclose(projection.explained_variance, [pca(frame)[1] for frame in frames], rtol=1e-6)
    assert projection.points.dtype == projection.explained_variance.dtype == np.float32
    assert done == [1, 2, 3, 4]


def test_project_frames__tells_which_frame() -> None:
    frames = [embeddings_of(30, 7), np.zeros((30, 7), dtype=np.float32)]
    with pytest.raises(DegenerateEmbeddingsError, match="Frame 1: All embeddings are the same"):
        project_frames(frames, project=ProjectSpec(), align=AlignSpec())
