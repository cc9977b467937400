import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.neighbors import NearestNeighbors

from core.errors import DegenerateEmbeddingsError, InvalidSpecError
from core.measure import neighbors
from core.measure.neighbors import nearest_neighbors


def clusters(n_points: int, n_dims: int, *, spread: float, n_clusters: int = 10, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, n_dims))
    noise = spread * rng.normal(size=(n_points, n_dims))
    return (centres[rng.integers(0, n_clusters, n_points)] + noise).astype(np.float32)


def oracle(embeddings: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute")
    return search.fit(embeddings.astype(np.float64)).kneighbors()


def test_nearest_neighbors__by_hand() -> None:
    embeddings = np.array([[1, 0], [0, 2], [3, 3], [-1, 0]], dtype=np.float32)
    graph = nearest_neighbors(embeddings, k=2)
    half = 1 - np.sqrt(0.5)
    assert graph.indices.tolist() == [[2, 1], [2, 0], [0, 1], [1, 2]]
    np.testing.assert_allclose(graph.distances, [[half, 1], [half, 1], [half, half], [1, 2 - half]], rtol=1e-6)
    assert graph.indices.dtype == np.int64
    assert graph.distances.dtype == np.float32


@pytest.mark.parametrize("spread", [1.0, 0.1, 0.003, 1e-4], ids=["early", "middle", "late", "collapsed"])
@pytest.mark.parametrize(("n_points", "n_dims", "k"), [(700, 96, 10), (1500, 16, 1), (40, 64, 39)])
def test_nearest_neighbors__as_scikit_learn(n_points: int, n_dims: int, k: int, spread: float) -> None:
    embeddings = clusters(n_points, n_dims, spread=spread)
    distances, indices = oracle(embeddings, k)
    graph = nearest_neighbors(embeddings, k=k)
    assert (graph.indices == indices).all()
    np.testing.assert_allclose(graph.distances, distances, rtol=1e-6, atol=1e-12)


def test_nearest_neighbors__one_tight_cluster_far_from_zero() -> None:
    embeddings = clusters(500, 64, spread=3e-5, n_clusters=1)
    distances, indices = oracle(embeddings, 10)
    graph = nearest_neighbors(embeddings, k=10)
    assert (graph.indices == indices).all()
    np.testing.assert_allclose(graph.distances, distances, rtol=1e-5)


@pytest.mark.parametrize("rows", [2, 23, 150], ids=["fewer than candidates", "more", "two strips"])
def test_nearest_neighbors__the_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    embeddings = clusters(300, 32, spread=0.05)
    whole = nearest_neighbors(embeddings, k=7)
    monkeypatch.setattr(neighbors, "STRIP_ROWS", rows)
    monkeypatch.setattr(neighbors, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(neighbors, "RERANK_BYTES", 10_000)
    pieces = nearest_neighbors(embeddings, k=7)
    assert (whole.indices == pieces.indices).all()
    np.testing.assert_allclose(whole.distances, pieces.distances, rtol=1e-6)


def test_nearest_neighbors__duplicates_stay_at_distance_zero_lowest_index_first() -> None:
    embeddings = clusters(400, 32, spread=0.5)
    embeddings[[3, 50, 51, 399]] = embeddings[0]
    graph = nearest_neighbors(embeddings, k=3)
    assert graph.indices[[0, 3, 50, 51, 399]].tolist() == [
        [3, 50, 51], [0, 50, 51], [0, 3, 51], [0, 3, 50], [0, 3, 50],
    ]  # fmt: skip
    assert (graph.distances[[0, 3, 50, 51, 399]] == 0).all()


def test_nearest_neighbors__all_the_same() -> None:
    graph = nearest_neighbors(np.ones((200, 8), dtype=np.float32), k=2)
    assert graph.indices[:3].tolist() == [[1, 2], [0, 2], [0, 1]]
    assert (graph.indices[3:] == [0, 1]).all()
    assert (graph.distances == 0).all()


def test_nearest_neighbors__zero_vectors_are_like_each_other_only() -> None:
    embeddings = clusters(100, 16, spread=0.1, n_clusters=1)
    embeddings[[10, 20]] = 0
    graph = nearest_neighbors(embeddings, k=2)
    assert graph.indices[10, 0] == 20
    assert graph.distances[10].tolist() == [0, 1]
    assert not np.isin(graph.indices[~np.isin(np.arange(100), [10, 20])], [10, 20]).any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_nearest_neighbors__tiny_and_huge_values(scale: float) -> None:
    embeddings = clusters(60, 8, spread=0.3)
    expected = nearest_neighbors(embeddings, k=4)
    graph = nearest_neighbors((embeddings * scale).astype(np.float32), k=4)
    assert (graph.indices == expected.indices).all()


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(3, 60), st.integers(1, 6)),
        elements=st.integers(-3, 3).map(float),  # many ties and duplicates
    ),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_nearest_neighbors__sorted_never_itself_and_no_nearer_point_left_out(
    embeddings: np.ndarray, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(embeddings) - 1))
    graph = nearest_neighbors(embeddings, k=k)
    rows = np.arange(len(embeddings))
    assert (graph.indices != rows[:, None]).all()
    assert all(len(set(row)) == k for row in graph.indices.tolist())
    assert (np.diff(graph.distances, axis=1) >= 0).all()
    wide = np.column_stack([embeddings, ~embeddings.any(axis=1)]).astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    every = np.sort(1 - wide @ wide.T + np.diag(np.full(len(rows), 9.0)), axis=1)[:, :k]
    np.testing.assert_allclose(graph.distances, every, atol=1e-6)


@pytest.mark.parametrize("k", [0, 5, 6])
def test_nearest_neighbors__k_out_of_range(k: int) -> None:
    with pytest.raises(InvalidSpecError, match="ask for 1 to 4") as caught:
        nearest_neighbors(np.eye(5, dtype=np.float32), k=k)
    assert caught.value.field == "score.k"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nearest_neighbors__not_finite(bad: float) -> None:
    embeddings = np.eye(5, dtype=np.float32)
    embeddings[2, 3] = bad
    with pytest.raises(DegenerateEmbeddingsError, match="1 of 5 embeddings"):
        nearest_neighbors(embeddings, k=2)
