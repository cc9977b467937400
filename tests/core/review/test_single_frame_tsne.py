import numpy as np
from sklearn.manifold import trustworthiness

from core.layout.axes import pca
from core.review import single_frame_tsne
from core.review.single_frame_tsne import lay_out_single_frame


def clusters(n_points=300, n_dims=32, spread=0.3):
    """Return ten clusters that two axes cannot separate."""
    rng = np.random.default_rng(3)
    homes = rng.normal(size=(10, n_dims))
    return (homes[np.arange(n_points) % 10] + spread * rng.normal(size=(n_points, n_dims))).astype(np.float32)


def test_look_closer__clusters_that_overlap_in_a_plane():
    embeddings = clusters()
    look = lay_out_single_frame(embeddings, pca(embeddings)[0], frame=7)
    assert (look.method, look.frame, look.points, look.better) == ("tsne", 7, 300, True)
    assert look.kept_here + 0.1 < look.neighbors_kept < 1


def test_look_closer__is_the_same_each_time_and_leaves_the_layout_as_it_is():
    embeddings = clusters(100)
    points = pca(embeddings)[0]
    before = points.copy()
    assert lay_out_single_frame(embeddings, points, frame=0) == lay_out_single_frame(embeddings, points, frame=0)
    assert (points == before).all()


def test_look_closer__many_points_are_sampled(monkeypatch):
    monkeypatch.setattr(single_frame_tsne, "LOOKED_AT", 50)
    embeddings = clusters(200)
    assert lay_out_single_frame(embeddings, pca(embeddings)[0], frame=0).points == 50


def test_look_closer__nothing_can_be_clearly_better_where_nearly_all_is_kept():
    angles = np.linspace(0, 6, 200)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert lay_out_single_frame(circle, circle, frame=0) is None


def test_look_closer__too_few_points():
    embeddings = clusters(19)
    assert lay_out_single_frame(embeddings, pca(embeddings)[0], frame=0) is None


def test_look_closer__a_layout_that_is_one_point():
    look = lay_out_single_frame(clusters(60), np.zeros((60, 2), np.float32), frame=0)
    assert look.points == 60
    assert 0 <= look.kept_here < look.neighbors_kept <= 1


def test_look_closer__a_frame_that_is_one_point():
    assert lay_out_single_frame(np.ones((60, 4), np.float32), np.zeros((60, 2), np.float32), frame=0) is None


def test_look_closer__the_compared_layout_is_good():
    """Checked by scikit-learn's trustworthiness, an independent measure."""
    embeddings = clusters(200)
    assert trustworthiness(embeddings, single_frame_tsne._tsne(embeddings), metric="cosine") > 0.9  # noqa: SLF001
