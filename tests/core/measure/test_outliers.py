import numpy as np
import pytest
from cleanlab.outlier import OutOfDistribution
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DegenerateEmbeddingsError, InvalidSpecError
from core.measure import outliers
from core.measure.neighbors import nearest_neighbors
from core.measure.outliers import cleanlab_score, knn_distance, score_frames


def clusters(n_points: int, n_dims: int, *, spread: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, n_dims))
    return (centres[rng.integers(0, 5, n_points)] + spread * rng.normal(size=(n_points, n_dims))).astype(np.float32)


def cleanlab_itself(embeddings: np.ndarray, k: int) -> np.ndarray:
    features = embeddings.astype(np.float64)  # cleanlab computes distances of float32 in single precision
    return OutOfDistribution({"k": k}).fit_score(features=features, verbose=False)


def test_knn_distance__by_hand() -> None:
    embeddings = np.array([[1, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    half = 1 - np.sqrt(0.5)
    expected = np.array([half / 2, half / 2, half, (1 + half) / 2])
    np.testing.assert_allclose(knn_distance(embeddings, 2), expected, rtol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.01], ids=["early", "middle", "late"])
@pytest.mark.parametrize("k", [1, 10])
def test_cleanlab_score__as_cleanlab(spread: float, k: int) -> None:
    embeddings = clusters(400, 64, spread=spread)
    expected = cleanlab_itself(embeddings, k)
    distance = knn_distance(embeddings, k)
    score = cleanlab_score(distance)
    np.testing.assert_allclose(score, expected, atol=1e-6, rtol=0)
    assert (np.argsort(-distance, kind="stable") == np.argsort(expected, kind="stable")).all()


def test_cleanlab_score__as_cleanlab_with_duplicates() -> None:
    embeddings = clusters(200, 32, spread=0.2)
    embeddings[[5, 6, 7]] = embeddings[4]  # some of their neighbours
    embeddings[20:35] = embeddings[100]  # all of their neighbours
    score = cleanlab_score(knn_distance(embeddings, 10))
    np.testing.assert_allclose(score, cleanlab_itself(embeddings, 10), atol=1e-6, rtol=0)
    assert (score[20:35] == 1).all()


def test_cleanlab_score__as_cleanlab_when_most_are_duplicates() -> None:
    embeddings = clusters(60, 32, spread=0.2)
    embeddings[:40] = embeddings[0]  # the median distance is 0
    score = cleanlab_score(knn_distance(embeddings, 5))
    np.testing.assert_allclose(score, cleanlab_itself(embeddings, 5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("embeddings", [np.zeros((20, 6)), np.ones((20, 6))], ids=["zero", "one"])
def test_cleanlab_score__as_cleanlab_when_all_are_the_same(embeddings: np.ndarray) -> None:
    score = cleanlab_score(knn_distance(embeddings.astype(np.float32), 3))
    assert (score == 1).all()
    assert (cleanlab_itself(embeddings, 3) == 1).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_knn_distance__a_planted_outlier_comes_first(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=24)
    embeddings = (centre + 0.05 * rng.normal(size=(40, 24))).astype(np.float32)
    embeddings[17] = -centre
    distance = knn_distance(embeddings, k)
    assert distance.argmax() == 17
    assert cleanlab_score(distance).argmin() == 17


@given(st.floats(1e-3, 1e3), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_knn_distance__scale_and_rotation_change_nothing(scale: float, seed: int) -> None:
    embeddings = clusters(50, 12, spread=0.5, seed=seed).astype(np.float64)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 12)))[0]
    np.testing.assert_allclose(knn_distance(scale * embeddings @ rotation, 5), knn_distance(embeddings, 5), rtol=1e-5)


def test_score_frames() -> None:
    frames = [clusters(30, 8, spread=spread) for spread in (1.0, 0.3, 0.1)]
    done = []
    scores, graph = score_frames(iter(frames), k=4, on_frame=done.append)
    assert scores.distance.shape == scores.cleanlab.shape == (3, 30)
    assert scores.distance.dtype == scores.cleanlab.dtype == np.float32
    assert (scores.distance[1] == knn_distance(frames[1], 4)).all()
    assert (scores.cleanlab[2] == cleanlab_score(scores.distance[2])).all()
    assert done == [1, 2, 3]
    assert graph.rows.tolist() == list(range(30))
    np.testing.assert_array_equal(graph.indices[1], nearest_neighbors(frames[1], k=14).indices)


def test_score_frames__fewer_neighbours_are_kept_than_are_scored_with() -> None:
    (frame,) = frames = [clusters(9, 8, spread=1.0)]
    scores, graph = score_frames(frames, k=7)
    assert graph.indices.shape == (1, 9, 4)
    assert (scores.distance[0] == knn_distance(frame, 7)).all()


def test_score_frames__k_out_of_range() -> None:
    with pytest.raises(InvalidSpecError) as caught:
        score_frames([np.eye(5, dtype=np.float32)], k=5)
    assert caught.value.field == "score.k"


def test_score_frames__not_finite() -> None:
    with pytest.raises(DegenerateEmbeddingsError, match="learning_rate"):
        score_frames([np.full((5, 4), np.nan, dtype=np.float32)], k=2)


@pytest.mark.parametrize("small", [0, 1000], ids=["one after another", "in parallel"])
def test_score_frames__in_order(monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(outliers, "SMALL_FRAME", small)
    rng = np.random.default_rng(3)
    frames = [rng.normal(size=(40, 5)).astype(np.float32) for _ in range(6)]
    done: list[int] = []
    scores, graph = score_frames(iter(frames), k=4, on_frame=done.append)
    assert done == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(scores.distance, [knn_distance(frame, 4) for frame in frames])
    assert graph.indices.shape == (6, 40, 15)
