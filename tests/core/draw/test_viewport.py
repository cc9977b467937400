import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.draw.viewport import Viewport, fit_viewport
from core.errors import DegenerateEmbeddingsError

BOX = {"left": 10.0, "top": 20.0, "width": 300.0, "height": 200.0}
layouts = st.integers(1, 4).flatmap(
    lambda n_frames: st.integers(1, 40).flatmap(
        lambda n_points: arrays(
            np.float32, (n_frames, n_points, 2), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
        )
    )
)


def test_fit_viewport__shows_all_of_an_ordinary_film() -> None:
    points = np.array([[[0, 0], [1, 1]], [[-3, 0], [5, 2]]], dtype=np.float32)
    viewport = fit_viewport(points)
    assert viewport == Viewport(center=(1.0, 1.0), half_width=4.0, half_height=4.0)


def test_fit_viewport__widens_to_the_aspect_of_the_plot() -> None:
    points = np.array([[[0, 0], [1, 4]]], dtype=np.float32)
    viewport = fit_viewport(points, aspect=1.5)
    assert (viewport.half_width, viewport.half_height) == pytest.approx((3.0, 2.0))


def test_fit_viewport__a_few_outliers_do_not_set_the_zoom_but_are_reported() -> None:
    points = np.random.default_rng(0).normal(size=(5, 1000, 2)).astype(np.float32)
    points[:, :3] *= 100.0
    viewport = fit_viewport(points)
    assert viewport.half_width < 5.0
    _, outside = viewport.place(points[0], **BOX)
    assert outside[:3].any()
    assert outside.sum() <= 0.02 * 1000


def test_fit_viewport__clusters_that_are_large_in_one_frame_only_are_shown_whole() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, size=(200, 100, 2)).astype(np.float32)
    points[-1] *= 20.0
    viewport = fit_viewport(points)
    assert not viewport.place(points[-1], **BOX)[1].any()


def test_fit_viewport__one_point_far_from_all_others_on_one_spot() -> None:
    points = np.zeros((1, 1000, 2), dtype=np.float32)
    points[0, 0] = 8.0
    viewport = fit_viewport(points)
    assert viewport.half_width == pytest.approx(4.0)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_fit_viewport__all_points_on_one_spot_are_in_the_middle(value: float) -> None:
    points = np.full((2, 5, 2), value, dtype=np.float32)
    viewport = fit_viewport(points)
    assert viewport == Viewport(center=(value, value), half_width=1.0, half_height=1.0)
    assert viewport.place(points[0], **BOX)[0] == pytest.approx(np.full((5, 2), [160.0, 120.0]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fit_viewport__refuses_values_that_are_not_finite(value: float) -> None:
    points = np.zeros((2, 5, 2), dtype=np.float32)
    points[1, 2, 0] = value
    with pytest.raises(DegenerateEmbeddingsError, match="NaN or infinite"):
        fit_viewport(points)


def test_place__one_unit_is_as_long_in_x_as_in_y_and_y_grows_upwards() -> None:
    viewport = Viewport(center=(0.0, 0.0), half_width=1.5, half_height=1.0)
    placed, outside = viewport.place(np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32), **BOX)
    assert placed == pytest.approx(np.array([[160, 120], [260, 120], [160, 20]]))
    assert not outside.any()


def test_place__moves_points_outside_to_the_border_and_marks_them() -> None:
    viewport = Viewport(center=(0.0, 0.0), half_width=1.5, half_height=1.0)
    placed, outside = viewport.place(np.array([[-9, 0.5], [9, 9], [1.5, 1.0]]), **BOX)
    assert placed == pytest.approx(np.array([[10, 70], [310, 20], [310, 20]]))
    assert outside.tolist() == [True, True, False]


@given(points=layouts, aspect=st.floats(0.3, 3.0))
def test_viewport__every_point_is_in_the_box_and_only_moved_ones_are_reported(
    points: np.ndarray, aspect: float
) -> None:
    viewport = fit_viewport(points, aspect=aspect)
    assert viewport.half_height > 0
    assert viewport.half_width == pytest.approx(viewport.half_height * aspect)
    scale = min(300.0 / (2 * viewport.half_width), 200.0 / (2 * viewport.half_height))
    for frame in points:
        placed, outside = viewport.place(frame, **BOX)
        assert ((placed >= [10 - 1e-9, 20 - 1e-9]) & (placed <= [310 + 1e-9, 220 + 1e-9])).all()
        exact = [160, 120] + (frame.astype(np.float64) - viewport.center) * [scale, -scale]
        assert placed[~outside] == pytest.approx(exact[~outside], abs=1e-3)


@given(points=layouts, factor=st.sampled_from([0.25, 2.0, 64.0]))
def test_viewport__does_not_depend_on_the_layout_s_unit(points: np.ndarray, factor: float) -> None:
    viewport, scaled = fit_viewport(points), fit_viewport(points * np.float32(factor))
    if np.ptp(points, axis=(0, 1)).max() > 0.01:
        assert scaled.half_width == pytest.approx(viewport.half_width * factor)
        assert scaled.center == pytest.approx(np.array(viewport.center) * factor)
