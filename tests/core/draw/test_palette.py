from itertools import combinations

import numpy as np
import pytest

from core.draw.colors import LIGHT, class_colors, mix, to_oklab
from core.draw.palette import COVERAGE_STEPS, SIZE, TRANSPARENT, build_palette

# Viénot, Brettel and Mollon 1999: an independent oracle, not the matrices that were used to choose the colours.
VISIONS = {
    "full": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
}


def cielab(rgb: np.ndarray, vision: str) -> np.ndarray:
    value = rgb / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) @ VISIONS[vision].T
    xyz = (
        np.clip(linear, 0, 1)
        @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    )
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089]).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def least_difference(colors: np.ndarray, vision: str) -> float:
    lab = cielab(colors, vision)
    return min(float(np.linalg.norm(lab[a] - lab[b])) for a, b in combinations(range(len(lab)), 2))


def no_images() -> np.ndarray:
    return np.zeros((0, 4, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("vision", VISIONS)
def test_class_colors__eight_are_distinguishable(vision: str) -> None:
    assert least_difference(class_colors(8), vision) > 15


@pytest.mark.parametrize("vision", VISIONS)
def test_class_colors__stand_out_from_the_white_behind_them(vision: str) -> None:
    colors = np.concatenate([class_colors(10), [LIGHT.card]]).astype(np.uint8)
    lab = cielab(colors, vision)
    assert np.linalg.norm(lab[:-1] - lab[-1], axis=1).min() > 30


def test_class_colors__two_hundred_are_all_different() -> None:
    colors = class_colors(200)
    assert len(np.unique(colors, axis=0)) == 200
    assert least_difference(colors[:40], "full") > 5


def test_class_colors__a_class_keeps_its_color_when_others_join() -> None:
    assert np.array_equal(class_colors(200)[:7], class_colors(7))
    assert np.array_equal(class_colors(200)[:30], class_colors(30))


@pytest.mark.parametrize("count", [0, 201])
def test_class_colors__refuses_what_it_has_no_colors_for(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 200 classes"):
        class_colors(count)


def test_to_oklab__white_black_and_red() -> None:
    lab = to_oklab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], dtype=np.uint8))
    assert lab == pytest.approx(np.array([[1, 0, 0], [0, 0, 0], [0.62796, 0.22486, 0.12585]]), abs=1e-4)


def test_mix__half_of_black_on_white() -> None:
    assert mix((0, 0, 0), (255, 255, 255), 0.5) == (128, 128, 128)


@pytest.mark.parametrize("n_classes", [1, 2, 10, 28, 40, 100, 200])
def test_build_palette__every_class_has_its_full_color_and_the_transparent_entry_stays_free(n_classes: int) -> None:
    palette = build_palette(n_classes, no_images())
    assert palette.colors.shape == (SIZE, 3)
    assert palette.colors.dtype == np.uint8
    full = [palette.class_index(label) for label in range(n_classes)]
    assert len(set(full)) == n_classes
    assert np.array_equal(palette.colors[full], class_colors(n_classes))
    assert palette.discs.max() < TRANSPARENT - 23, "at least 24 entries are left for images"


@pytest.mark.parametrize("n_classes", [10, 60, 200])
def test_build_palette__coverage_runs_from_white_to_the_color(n_classes: int) -> None:
    palette = build_palette(n_classes, no_images())
    levels = palette.colors[palette.discs].astype(np.float64)
    assert np.array_equal(levels[:, 0], np.full((n_classes, 3), 255.0))
    assert (np.diff(levels, axis=1) <= 0).all(), "more coverage is never lighter"
    wanted = 255.0 + (levels[:, -1:] - 255.0) * (np.arange(COVERAGE_STEPS + 1) / COVERAGE_STEPS)[None, :, None]
    n_levels = len(np.unique(palette.discs[0])) - 1
    assert np.abs(levels - wanted).max() <= 255 / n_levels / 2 + 1


def test_build_palette__ten_classes_are_antialiased_finely() -> None:
    assert len(np.unique(build_palette(10, no_images()).discs[0])) == 7


def test_build_palette__the_remaining_entries_are_for_the_images() -> None:
    images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    images[0], images[1] = (10, 200, 90), (250, 3, 120)
    colors = build_palette(10, images).colors[:TRANSPARENT].tolist()
    assert [10, 200, 90] in colors
    assert [250, 3, 120] in colors


def test_build_palette__refuses_more_classes_than_colors() -> None:
    with pytest.raises(ValueError, match="1 to 200 classes"):
        build_palette(201, no_images())


def test_nearest__finds_exact_colors_and_leaves_class_colors_out() -> None:
    palette = build_palette(10, no_images())
    wanted = np.array([[LIGHT.card, LIGHT.page], [LIGHT.ink, LIGHT.card]], dtype=np.uint8)
    assert np.array_equal(palette.colors[palette.nearest(wanted)], wanted)
    assert palette.nearest(class_colors(10)).max() < palette.n_background <= palette.discs[:, 1:].min()


def test_blend__goes_from_the_background_to_the_ink_in_small_steps() -> None:
    palette = build_palette(10, no_images())
    ramp = palette.colors[palette.blend(LIGHT.ink, LIGHT.page)].astype(int)
    assert tuple(ramp[0]) == LIGHT.page
    assert tuple(ramp[-1]) == LIGHT.ink
    assert (np.diff(ramp.sum(axis=1)) <= 0).all()
    assert np.abs(np.diff(ramp, axis=0)).max() <= 16
