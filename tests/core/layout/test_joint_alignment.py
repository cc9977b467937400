import numpy as np
import pytest

from core.layout.joint_alignment import in_one_frame


def film(*, frames=4, points=30, seed=0):
    rng = np.random.default_rng(seed)
    home = rng.normal(size=(points, 2)) * [3, 1]
    return (home * np.linspace(0.2, 1, frames)[:, None, None]).astype(np.float32)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def turned(layout, *, mirror=False):
    mirrored = np.diag([-1 if mirror else 1, 1])
    return (7 * layout @ rotation(2.1) @ mirrored + [5, -3]).astype(np.float32)


@pytest.mark.parametrize("mirror", [False, True])
def test_in_one_frame__undoes_rotation_scaling_and_shift(mirror):
    layout = film()
    one, other = in_one_frame([layout, turned(layout, mirror=mirror)])
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert one.dtype == other.dtype == np.float32


def test_in_one_frame__ends_in_the_middle_at_size_one():
    for layout in in_one_frame([film(seed=1), film(seed=2, frames=7)]):
        np.testing.assert_allclose(layout[-1].mean(axis=0), 0, atol=1e-6)
        assert np.square(layout[-1]).sum(axis=1).mean() == pytest.approx(1, abs=1e-5)


def test_in_one_frame__each_run_moves_as_in_its_own_film():
    one, other = film(), turned(film(seed=3, frames=6))
    _, moved = in_one_frame([one, other])
    before, after = (np.linalg.norm(np.diff(layout, axis=0), axis=2) for layout in (other, moved))
    np.testing.assert_allclose(after / before, (after / before).mean(), rtol=1e-3)


def test_in_one_frame__no_turn_fits_better():
    one, other = in_one_frame([film(seed=1), film(seed=2)])
    misfit = np.linalg.norm(one[-1] - other[-1])
    for angle in np.linspace(0, 2 * np.pi, 50):
        for turn in (rotation(angle), rotation(angle) @ np.diag([1, -1])):
            assert misfit <= np.linalg.norm(one[-1] - other[-1] @ turn) + 1e-4


def test_in_one_frame__a_run_that_ends_in_one_point():
    for end in (0, 1e-6):
        collapsed = film() * np.array([1, 0.5, 0.1, end], dtype=np.float32)[:, None, None]
        one, other = in_one_frame([film(), collapsed])
        assert np.abs(one).max() > 1
        assert np.abs(other).max() == pytest.approx(1, abs=1e-3), "it does not make a dot of the others"
