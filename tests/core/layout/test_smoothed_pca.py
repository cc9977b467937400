from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg

from core.layout.smoothed_pca import ScatterMatrices, choose, frame_axes, gather
from core.measure.motion import pearson, step_lengths

SHAPE = (6, 80, 30)


def frames(*, seed: int = 0) -> np.ndarray:
    """Return (T, N, D) points with a few wide directions that drift."""
    rng = np.random.default_rng(seed)
    n_frames, n_points, n_dims = SHAPE
    width = 3.0 / np.arange(1, n_dims + 1)
    cloud = rng.normal(size=(n_points, n_dims)) * width
    drift = rng.normal(size=(n_frames, n_points, n_dims)).cumsum(axis=0) * width / 4
    return (cloud + drift + rng.normal(size=n_dims)).astype(np.float32)


def surveyed(film: np.ndarray) -> ScatterMatrices:
    axes = []
    for frame in film:
        axes.append(frame_axes(frame, start=axes[-1].axes.directions if axes else None))
    return gather(axes)


def covariances(film: np.ndarray) -> np.ndarray:
    centred = (film - film.mean(axis=1, keepdims=True)).astype(np.float64)
    return np.einsum("tnd,tne->tde", centred, centred)


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 3.0, None])
def test_planes__are_those_of_the_smoothed_covariance(smoothing: float | None) -> None:
    film = frames()
    found = surveyed(film)
    planes = found.basis @ found.planes(smoothing)
    exact = covariances(film)
    times = np.arange(len(film))
    for t, plane in enumerate(planes):
        if smoothing is None:
            weights = np.ones(len(film))
        elif smoothing == 0:
            weights = (times == t).astype(float)
        else:
            weights = np.exp(-((times - t) ** 2) / (2 * smoothing**2))
        _, vectors = scipy.linalg.eigh(np.tensordot(weights, exact, 1))
        cosines = np.linalg.svd(plane.T @ vectors[:, :-3:-1], compute_uv=False)
        np.testing.assert_allclose(cosines, 1, atol=1e-3)
        np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-9)


def test_planes__each_is_turned_onto_the_next() -> None:
    found = surveyed(frames())
    planes = found.planes(1.0)
    for one, following in pairwise(planes):
        product = one.T @ following
        np.testing.assert_allclose(product, product.T, atol=1e-9)
        assert np.linalg.eigvalsh(product).min() > -1e-9


def test_planes__the_widest_axis_of_the_last_frame_lies_flat_and_points_up() -> None:
    film = frames()
    found = surveyed(film)
    last = found.basis @ found.planes(0.0)[-1]
    centred = film[-1] - film[-1].mean(axis=0)
    assert (centred @ last[:, 0]).std() > (centred @ last[:, 1]).std()
    assert (last[np.abs(last).argmax(axis=0), [0, 1]] > 0).all()


def test_shown() -> None:
    film = frames()
    found = surveyed(film)
    planes = found.planes(0.0)
    for t, share in enumerate(found.shown(planes)):
        centred = (film[t] - film[t].mean(axis=0)).astype(np.float64)
        expected = ((centred @ found.basis @ planes[t]) ** 2).sum() / (centred**2).sum()
        assert share == pytest.approx(expected, rel=0.01)


def test_middle() -> None:
    film = frames()
    np.testing.assert_allclose(surveyed(film).middle, film.mean(axis=(0, 1)), atol=1e-4)


def witnesses_of(film: np.ndarray, found: ScatterMatrices) -> tuple[np.ndarray, np.ndarray]:
    moved = np.linalg.norm(np.diff(film.astype(np.float64), axis=0), axis=2).astype(np.float32)
    return (film - found.middle) @ found.basis, moved


def test_choose__nothing_where_each_frames_plane_is_the_same() -> None:
    cloud = frames()[0]
    film = np.stack([cloud * (1 + index / 10) for index in range(8)])
    found = surveyed(film)
    assert choose(found, *witnesses_of(film, found)) == 0


def test_choose__some_where_planes_jump() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(100, 6)) * [3, 3, 3, 3, 0.2, 0.2]
    film = np.stack([cloud + 0.2 * rng.normal(size=cloud.shape) for _ in range(20)]).astype(np.float32)
    found = surveyed(film)
    samples, moved = witnesses_of(film, found)
    chosen = choose(found, samples, moved)
    assert chosen != 0

    def follows(smoothing: float | None) -> float:
        seen = np.einsum("tmw,twa->tma", samples, found.planes(smoothing))
        return pearson(step_lengths(seen), moved)

    assert follows(chosen) > follows(0.0) + 0.05
