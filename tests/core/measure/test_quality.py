import numpy as np
import pytest
import scipy.spatial
import scipy.stats
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from core.domain.arrays import FrameFacts, Projection
from core.domain.quality import json_number
from core.measure.outliers import score_frames
from core.measure.quality import FilmMeasurer

N, T, CLASSES = 60, 5, 3


@pytest.fixture(scope="module")
def film():
    """Return three clusters that separate, and a layout that has two of their features with noise."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, N)
    middles, noise = rng.normal(size=(CLASSES, 12)), rng.normal(size=(N, 12))
    frames = [(middles[labels] * t + noise + rng.normal(0, 0.1, (N, 12))).astype(np.float32) for t in range(T)]
    points = np.stack([frame[:, :2] + rng.normal(0, 0.2, (N, 2)) for frame in frames]).astype(np.float32)
    return labels, frames, points


@pytest.fixture(scope="module")
def measured(film):
    labels, frames, points = film
    return measurer(labels, frames, points)


def measurer(labels, frames, points, *, n_classes=CLASSES):
    _, graph = score_frames(frames, k=2)
    shares = np.linspace(0.2, 0.6, len(frames)).astype(np.float32)
    facts = [FrameFacts(10 * t, t / 2, 2.0 - t / 5, 0.1 * t, labels) for t in range(len(frames))]
    layout = Projection(points, shares / 2, shares)
    one = FilmMeasurer(layout, graph, labels=labels, n_classes=n_classes, facts=facts)
    for index, frame in enumerate(frames):
        one.add(one.measure(index, frame))
    return one.finish()


def nearest(embeddings, k, metric):
    found = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(embeddings.astype(np.float64))
    return found.kneighbors(return_distance=False)


def test_frames__as_scikit_learn_has_it(film, measured):
    labels, frames, points = film
    for t, (frame, told_of) in enumerate(zip(frames, measured.frames, strict=True)):
        directions = frame / np.linalg.norm(frame, axis=1, keepdims=True)
        near, shown = nearest(frame, 15, "cosine"), nearest(points[t], 15, "euclidean")
        assert told_of.trustworthiness == pytest.approx(
            trustworthiness(directions, points[t], n_neighbors=15), abs=1e-6
        )
        assert told_of.continuity == pytest.approx(trustworthiness(points[t], directions, n_neighbors=15), abs=1e-6)
        both = [len(set(one) & set(other)) / 15 for one, other in zip(near, shown, strict=True)]
        assert told_of.neighbors_kept == pytest.approx(np.mean(both), abs=1e-6)
        assert told_of.neighborhood_hit == pytest.approx((labels[near] == labels[:, None]).mean(), abs=1e-6)
        votes = np.array([np.bincount(labels[row]).argmax() for row in near])
        assert told_of.knn_accuracy == pytest.approx((votes == labels).mean(), abs=1e-6)
        assert (told_of.frame, told_of.step, told_of.loss) == (t, 10 * t, pytest.approx(2.0 - t / 5))
        assert told_of.relative_variance == pytest.approx(0.5)
        np.testing.assert_allclose(
            measured.mixing[t],
            [np.bincount(labels[near[labels == c]].ravel(), minlength=3) / 15 / (labels == c).sum() for c in range(3)],
            rtol=1e-6,
        )
    assert measured.frames[0].cka is None
    assert all(0 < one.cka <= 1 for one in measured.frames[1:])


def test_motion__as_scipy_has_it(film, measured):
    _, frames, points = film
    moved = np.linalg.norm(np.diff(np.stack(frames).astype(np.float64), axis=0), axis=2)
    shown = np.linalg.norm(np.diff(points.astype(np.float64), axis=0), axis=2)
    motion = measured.motion
    assert motion.pearson == pytest.approx(scipy.stats.pearsonr(moved.ravel(), shown.ravel())[0], abs=1e-6)
    assert motion.spearman == pytest.approx(scipy.stats.spearmanr(moved.ravel(), shown.ravel())[0], abs=1e-6)
    pairs = [scipy.spatial.procrustes(points[t], points[t + 1])[2] for t in range(T - 1)]
    assert motion.disparity == pytest.approx(np.mean(pairs), abs=1e-6)
    near = np.stack([nearest(frame, 15, "cosine") for frame in frames])
    changed = np.array([[1 - len(set(near[t, i]) & set(near[t + 1, i])) / 15 for i in range(N)] for t in range(T - 1)])
    each = [np.corrcoef(changed[:, i], shown[:, i])[0, 1] for i in range(N) if np.ptp(changed[:, i])]
    assert motion.neighborhood_change == pytest.approx(np.mean(each), abs=1e-6)
    twice = np.linalg.norm(np.diff(np.stack(frames).astype(np.float64), n=2, axis=0), axis=2)
    trembles = np.linalg.norm(np.diff(points.astype(np.float64), n=2, axis=0), axis=2)
    ratio = (trembles.sum() / shown.sum()) / (twice.sum() / moved.sum())
    assert motion.jitter == pytest.approx(ratio, abs=1e-5)


def test_moved__by_the_frames_own_size(film, measured):
    _, frames, _ = film
    larger = measurer(film[0], [frame * 7 for frame in frames], film[2])
    np.testing.assert_allclose(larger.moved, measured.moved, rtol=1e-5)
    assert (measured.moved > 0).all()


def test_frames_that_do_not_move(film):
    labels, frames, points = film
    still = measurer(labels, [frames[-1]] * 4, np.stack([points[-1]] * 4))
    assert (still.motion.pearson, still.motion.spearman, still.motion.jitter) == (None, None, None)
    assert (still.motion.temporal_stress, still.motion.residual_rotation) == (0.0, 1.0)
    assert [one.cka for one in still.frames[1:]] == [1.0] * 3
    assert not still.moved.any()


def test_embeddings_all_equal_and_a_class_that_is_not_there():
    labels = np.zeros(3, np.int64)
    same = np.ones((3, 4), np.float32)
    found = measurer(labels, [same, same], np.zeros((2, 3, 2), np.float32), n_classes=2)
    assert (found.frames[1].cka, found.frames[1].nc1, found.motion.pearson) == (None, None, None)
    assert found.mixing[0, 0].tolist() == [1.0, 0.0]
    assert np.isnan(found.mixing[0, 1]).all()


def test_two_frames_have_no_turn(film):
    labels, frames, points = film
    assert measurer(labels, frames[:2], points[:2]).motion.jitter is None


@pytest.mark.parametrize(("value", "expected"), [(0.123456789, 0.123457), (np.nan, None), (np.inf, None), (2, 2.0)])
def test_json_number(value, expected):
    assert json_number(value) == expected
