from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from core.measure.motion import (
    jitter,
    movement,
    pearson,
    residual_rotation,
    spearman,
    step_lengths,
    temporal_stress,
)


def film(*, seed: int = 0, shape: tuple[int, ...] = (6, 30, 2)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).cumsum(axis=0)


def test_movement__is_that_of_the_shape() -> None:
    points = np.random.default_rng(0).standard_normal((20, 5)).astype(np.float32)
    moved = points + 0.1 * np.random.default_rng(1).standard_normal((20, 5)).astype(np.float32)
    assert movement(points, points + 7) == pytest.approx(0, abs=1e-5)
    assert movement(points, moved) == pytest.approx(movement(100 * points, 100 * moved), rel=1e-5)
    assert 0.05 < movement(points, moved) < 0.2
    assert movement(points[:1], moved[:1]) == 0


def steps(*, seed: int = 0) -> np.ndarray:
    return step_lengths(film(seed=seed))


def test_step_lengths__by_hand() -> None:
    frames = np.array([[[0, 0], [1, 1]], [[3, 4], [1, 1]], [[3, 4], [1, 3]]])
    assert step_lengths(frames).tolist() == [[5, 0], [0, 2]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([(pearson, scipy.stats.pearsonr), (spearman, scipy.stats.spearmanr)]))
@settings(max_examples=30, deadline=None)
def test_correlations__as_scipy(seed: int, functions: tuple) -> None:
    ours, oracle = functions
    one = steps(seed=seed)
    other = np.round(one + steps(seed=seed + 1), 1)  # with ties
    assert ours(one, other) == pytest.approx(oracle(one.ravel(), other.ravel()).statistic, abs=1e-12)


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_correlations__of_what_does_not_vary(correlation: object) -> None:
    assert correlation(steps(), np.zeros((5, 30))) == 0
    assert correlation(np.full((5, 30), 0.1), steps()) == pytest.approx(0, abs=1e-12)
    assert correlation(steps(), 1e-30 * steps()) == pytest.approx(1, abs=1e-6)


def test_temporal_stress__by_hand() -> None:
    assert temporal_stress(np.array([[1.0, 2.0]]), np.array([[3.0, 3.0]])) == pytest.approx(0.25 / 1.25)


def test_temporal_stress__is_invariant_to_scale() -> None:
    moved = steps()
    assert temporal_stress(moved, 7 * moved) == pytest.approx(0, abs=1e-12)
    assert temporal_stress(moved, steps(seed=1)) == pytest.approx(temporal_stress(3 * moved, 5 * steps(seed=1)))


def test_temporal_stress__of_what_does_not_move() -> None:
    still = np.zeros((5, 30))
    assert temporal_stress(still, still) == 0
    assert temporal_stress(still, steps()) == np.inf
    assert temporal_stress(steps(), still) == pytest.approx(1)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_residual_rotation__as_by_orthogonal_procrustes(seed: int) -> None:
    points = film(seed=seed)
    turned = 0.0
    for before, after in pairwise(points):
        rotation, _ = scipy.linalg.orthogonal_procrustes(after, before)
        turned += ((before - after @ rotation) ** 2).sum()
    moved = ((points[:-1] - points[1:]) ** 2).sum()
    assert residual_rotation(points) == pytest.approx(moved / turned, rel=1e-6)


def test_residual_rotation__of_a_cloud_that_only_turns_has_no_bound() -> None:
    cloud = film()[0]
    quarter = np.array([[0, 1], [-1, 0]])
    assert residual_rotation(np.stack([cloud, cloud @ quarter])) > 1e6
    assert residual_rotation(np.stack([cloud, cloud])) == 1
    assert residual_rotation(np.stack([cloud, 2 * cloud])) == pytest.approx(1)


def test_jitter() -> None:
    straight = np.arange(5)[:, None, None] * np.ones((5, 3, 2))
    fro = np.array([0, 1, 0, 1, 0])[:, None, None] * np.ones((5, 3, 2))

    def of(points: np.ndarray) -> float:
        return jitter(step_lengths(points), np.linalg.norm(np.diff(points, n=2, axis=0), axis=2))

    assert of(straight) == 0
    assert of(fro) == pytest.approx(2 * 3 / 4)
    assert of(np.zeros((5, 3, 2))) == 0
