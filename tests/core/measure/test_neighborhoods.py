import numpy as np
import pytest
from sklearn import manifold
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from core.measure import neighborhoods
from core.measure.neighborhoods import (
    distance_ranks,
    faithfulness,
    knn_accuracy,
    layout_neighbors,
    neighborhood_hit,
    sample_rows,
    trustworthiness,
)
from core.measure.neighbors import nearest_neighbors


def frame(n_points: int = 120, n_dims: int = 12, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings of three clusters, a layout that separates some of them, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_points)
    embeddings = (rng.normal(size=(n_points, n_dims)) + 3 * np.eye(3, n_dims)[labels]).astype(np.float32)
    return embeddings, embeddings[:, :2] + 0.3 * rng.normal(size=(n_points, 2)).astype(np.float32), labels


@pytest.mark.parametrize("k", [1, 5, 15])
def test_faithfulness__as_scikit_learn(k: int) -> None:
    embeddings, points, _ = frame()
    rows = sample_rows(len(points))
    neighbors = nearest_neighbors(embeddings, k=k).indices
    found = faithfulness(embeddings, points, neighbors=neighbors, rows=rows)
    assert found.trustworthiness == pytest.approx(
        manifold.trustworthiness(embeddings, points, n_neighbors=k, metric="cosine")
    )
    unit = embeddings / np.linalg.norm(
        embeddings, axis=1, keepdims=True
    )  # Euclidean distance gives the same ranks as cosine distance
    assert found.continuity == pytest.approx(manifold.trustworthiness(points, unit, n_neighbors=k), abs=1e-9)
    shown = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
    both = [len(set(one) & set(other)) for one, other in zip(neighbors, shown, strict=True)]
    assert found.knn_recall == pytest.approx(np.mean(both) / k)


@pytest.mark.parametrize("k", [1, 15])
def test_trustworthiness__as_scikit_learn(k: int) -> None:
    embeddings, points, _ = frame()
    shown = layout_neighbors(points, k=k, rows=np.arange(len(points)))
    found = trustworthiness(distance_ranks(embeddings), shown)
    assert found == pytest.approx(manifold.trustworthiness(embeddings, points, n_neighbors=k))


def test_distance_ranks__by_hand() -> None:
    points = np.array([[0.0], [1.0], [3.0]])
    assert distance_ranks(points).tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
    assert np.diag(distance_ranks(np.zeros((4, 2)))).tolist() == [0, 0, 0, 0]


def test_faithfulness__is_perfect_for_identical_points() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, np.pi / 2, 80)
    points = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    neighbors = nearest_neighbors(points, k=5).indices
    found = faithfulness(points, points, neighbors=neighbors, rows=sample_rows(80))
    assert (found.trustworthiness, found.continuity) == pytest.approx((1, 1), abs=1e-3)
    assert found.knn_recall > 0.99


def test_faithfulness__a_sample_estimates_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, points, _ = frame(1500)
    graph = nearest_neighbors(embeddings, k=10).indices
    every = faithfulness(embeddings, points, neighbors=graph, rows=np.arange(1500))
    rows = sample_rows(1500)
    assert len(rows) == neighborhoods.SAMPLE_ROWS
    some = faithfulness(embeddings, points, neighbors=graph[rows], rows=rows)
    for name in ("trustworthiness", "continuity", "knn_recall"):
        assert getattr(some, name) == pytest.approx(getattr(every, name), abs=0.02)
    monkeypatch.setattr(neighborhoods, "BLOCK_BYTES", 8 * 7 * len(points))
    assert faithfulness(embeddings, points, neighbors=graph[rows], rows=rows) == some


def test_faithfulness__far_from_the_origin_ranks_as_in_double_precision() -> None:
    embeddings, points, _ = frame()
    far = (embeddings / 1000 + 1).astype(np.float32)
    neighbors = nearest_neighbors(far, k=5).indices
    found = faithfulness(far, points, neighbors=neighbors, rows=sample_rows(len(far)))
    exact = manifold.trustworthiness(far.astype(np.float64), points, n_neighbors=5, metric="cosine")
    assert found.trustworthiness == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("n_values", [1, 8, 13, 2039, 2040, 2041, 5000])
def test_count_below__as_by_sorting(n_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of points around the size of one block; the first and the last row are among them."""
    rng = np.random.default_rng(n_values)
    values = rng.random((7, n_values)).astype(np.float32)
    limits = np.column_stack([values.min(axis=1), values.max(axis=1), rng.random(7), np.full(7, 2), values[:, 0]])
    expected = [np.searchsorted(np.sort(row), limit) for row, limit in zip(values, limits, strict=True)]
    assert (neighborhoods.count_below(values, limits) == expected).all()
    monkeypatch.setattr(neighborhoods, "MARK_BYTES", 1)
    assert (neighborhoods.count_below(values, limits) == expected).all()


def test_anchors__are_always_the_same_and_rise() -> None:
    assert sample_rows(5).tolist() == [0, 1, 2, 3, 4]
    assert (sample_rows(5000) == sample_rows(5000)).all()
    assert (np.diff(sample_rows(5000)) > 0).all()


def test_layout_neighbors__never_the_point_itself_even_among_copies() -> None:
    points = np.zeros((30, 2))
    rows = np.arange(30)
    found = layout_neighbors(points, k=5, rows=rows)
    assert found.shape == (30, 5)
    assert not (found == rows[:, None]).any()


def test_classes__as_scikit_learn() -> None:
    embeddings, _, labels = frame()
    k, rows = 7, np.arange(len(labels))
    neighbors = nearest_neighbors(embeddings, k=k).indices
    assert neighborhood_hit(neighbors, labels, rows) == pytest.approx((labels[neighbors] == labels[:, None]).mean())
    right = []
    for row in rows:
        others = np.delete(rows, row)
        model = KNeighborsClassifier(k, metric="cosine").fit(embeddings[others], labels[others])
        right.append(model.predict(embeddings[[row]])[0] == labels[row])
    assert knn_accuracy(neighbors, labels, rows) == pytest.approx(np.mean(right))
    some = np.array([3, 50, 80])
    assert 0 <= knn_accuracy(neighbors[some], labels, some) <= 1


@pytest.mark.parametrize(("n_points", "k"), [(2, 1), (4, 1), (5, 2), (30, 14), (31, 15), (1000, 15)])
def test_size__half_of_the_other_points_and_at_most_fifteen(n_points, k):
    assert neighborhoods.size(n_points) == k
