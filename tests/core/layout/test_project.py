from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from core.domain.arrays import Projection
from core.domain.spec import AlignSpec, ProjectSpec
from core.errors import DegenerateEmbeddingsError
from core.layout.align import align
from core.layout.project import NEIGHBORHOODS, PROJECTORS, pca, project_frames


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


AXES = sorted(set(PROJECTORS) - set(NEIGHBORHOODS))


def laid_out(frames: list[np.ndarray], method: str, **options: float) -> Projection:
    return project_frames(frames, project=ProjectSpec(method=method, **options), align=AlignSpec(method="none"))


@pytest.mark.parametrize("method", AXES)
def test_projectors__deterministic(method: str) -> None:
    frames = [embeddings_of(80, 10, seed=seed) for seed in range(3)]
    first, second = laid_out(frames, method), laid_out([frame.copy() for frame in frames], method)
    assert (first.points == second.points).all()
    assert (first.explained_variance == second.explained_variance).all()


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
    projection = project_frames(
        frames,
        project=ProjectSpec(method="pca"),
        align=AlignSpec(trim=0),
        on_frame=lambda frame, total: done.append((frame, total)),
    )
    raw = np.stack([pca(frame)[0] for frame in frames])
    np.testing.assert_allclose(projection.points, align(raw, method="rigid", reference="last"), atol=1e-4)
    np.testing.assert_allclose(projection.explained_variance, [pca(frame)[1] for frame in frames], rtol=1e-5)
    assert projection.points.dtype == projection.explained_variance.dtype == np.float32
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_global_pca__is_the_pca_of_frames_that_share_their_axes() -> None:
    first = embeddings_of(60, 9)
    frames = [first * size for size in (1, 2, 3)]
    whole = PCA(2).fit(first.astype(np.float64))
    middle = np.mean([frame.mean(axis=0) for frame in frames], axis=0)
    points = laid_out(frames, "global_pca").points
    for frame, laid in zip(frames, points, strict=True):
        expected = (frame - middle) @ whole.components_.T
        signs = np.sign((laid * expected).sum(axis=0))
        np.testing.assert_allclose(laid * signs, expected, atol=1e-3)


@pytest.mark.parametrize("n_dims", [12, 400])
def test_smooth_pca__without_smoothing_shows_as_much_as_each_frames_own_axes(n_dims: int) -> None:
    frames = list(turning(n_dims=n_dims))
    projection = laid_out(frames, "smooth_pca", smoothing=0)
    np.testing.assert_allclose(projection.explained_variance, [pca(frame)[1] for frame in frames], rtol=0.03)


def test_smooth_pca__more_smoothing_shows_less_of_each_frame() -> None:
    frames = list(turning(n_dims=20))
    shown = []
    for smoothing in (0, 2, 600):
        projection = laid_out(frames, "smooth_pca", smoothing=smoothing)
        assert projection.smoothing == smoothing
        shown.append(projection.explained_variance.mean())
    assert shown[0] > shown[1] > shown[2]
    np.testing.assert_allclose(
        laid_out(frames, "smooth_pca", smoothing=600).points, laid_out(frames, "global_pca").points, atol=1e-2
    )


def test_smooth_pca__a_cloud_that_moves_as_a_whole_is_seen_to_move() -> None:
    first = embeddings_of(50, 6)
    direction = PCA(1).fit(first).components_[0].astype(np.float32)
    frames = [first + 5 * index * direction for index in range(3)]
    moved = np.diff(laid_out(frames, "smooth_pca").points.mean(axis=1), axis=0)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), [5, 5], rtol=1e-3)


def test_smooth_pca__its_choice_is_told() -> None:
    frames = list(turning(n_dims=20))
    chosen = laid_out(frames, "smooth_pca")
    asked = project_frames(
        frames, project=ProjectSpec(method="smooth_pca", smoothing=chosen.smoothing), align=AlignSpec(method="none")
    )
    np.testing.assert_array_equal(asked.points, chosen.points)
    assert laid_out([embeddings_of(30, 7)], "smooth_pca").smoothing == 0


@pytest.mark.parametrize("method", ["global_pca", "smooth_pca"])
def test_shared_axes__frames_that_do_not_move_stay(method: str) -> None:
    frame = embeddings_of(40, 8)
    points = laid_out([frame] * 5, method).points
    np.testing.assert_allclose(points - points[0], 0, atol=1e-5)


@pytest.mark.parametrize("method", ["global_pca", "smooth_pca"])
def test_shared_axes__one_frame_may_have_no_spread_but_not_all(method: str) -> None:
    nothing = np.ones((30, 7), dtype=np.float32)
    points = laid_out([nothing, embeddings_of(30, 7)], method).points
    assert np.isfinite(points).all()
    assert np.ptp(points[0], axis=0).max() < 1e-5
    with pytest.raises(DegenerateEmbeddingsError, match="In no frame do the embeddings differ"):
        laid_out([nothing, nothing], method)


@pytest.mark.parametrize("method", AXES)
def test_project_frames__tells_which_frame(method: str) -> None:
    frames = [embeddings_of(30, 7), np.full((30, 7), np.nan, dtype=np.float32)]
    with pytest.raises(DegenerateEmbeddingsError, match="Frame 1: Embeddings are NaN"):
        laid_out(frames, method)


def turning(*, n_dims: int, n_frames: int = 12, n_points: int = 300) -> Iterator[np.ndarray]:
    """Points whose two widest directions turn into others, with noise that is new in each frame."""
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(n_points, 4)) * [4, 3, 4, 3]
    axes = np.linalg.qr(rng.normal(size=(n_dims, 4)))[0]
    for share in np.linspace(0, 1, n_frames):
        weights = [1 - share, 1 - share, share, share]
        noise = 0.3 * rng.normal(size=(n_points, n_dims))
        yield ((cloud * weights) @ axes.T + noise).astype(np.float32)
