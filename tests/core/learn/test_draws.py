import colorsys
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.augment import AugmentSpec
from core.learn.draws import Draws, colour_maps, draw, placements

MANY = 20_000
EVERYTHING = AugmentSpec(
    flip=0.3, rotate=20, shear=10, crop=0.25, brightness=0.4, contrast=0.3, saturation=0.8, hue=0.1, mixup=0.5
)


def draws(spec: AugmentSpec = EVERYTHING, n_images: int = MANY, *, seed: int = 0, step: int = 1) -> Draws:
    return draw(spec, n_images, seed=seed, step=step)


def fields(drawn: Draws) -> dict[str, np.ndarray]:
    return {name: getattr(drawn, name) for name in Draws.__slots__}


def test_draw__follows_from_seed_and_step_alone() -> None:
    first, again = fields(draws(n_images=9)), fields(draws(n_images=9))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    for other in (draws(n_images=9, seed=1), draws(n_images=9, step=2)):
        assert not np.array_equal(other.turned, first["turned"])
        assert not np.array_equal(other.partner, first["partner"])


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("turned", -math.radians(20), math.radians(20)),
        ("brightness", 0.6, 1.4),
        ("contrast", 0.7, 1.3),
        ("saturation", 0.2, 1.8),
        ("hue", -0.1, 0.1),
    ],
)
def test_draw__is_uniform(name: str, lowest: float, highest: float) -> None:
    shares = (getattr(draws(), name) - lowest) / (highest - lowest)
    assert 0 <= shares.min() < 0.001
    assert 0.999 < shares.max() <= 1
    assert shares.mean() == pytest.approx(1 / 2, abs=0.01)
    assert shares.var() == pytest.approx(1 / 12, abs=0.005)


def test_draw__leans_by_uniform_angles() -> None:
    degrees = np.degrees(np.arctan(draws().leaning))
    assert (degrees.min(), degrees.max()) == pytest.approx((-10, 10), abs=0.01)
    assert degrees.var() == pytest.approx(20**2 / 12, rel=0.05)


def test_draw__flips_by_its_probability() -> None:
    assert draws().flipped.mean() == pytest.approx(0.3, abs=0.01)
    assert draws(AugmentSpec(flip=1)).flipped.all()


def test_draw__crops_are_inside_the_image_and_have_the_requested_area() -> None:
    drawn = draws()
    area, ratio = drawn.size.prod(axis=1), drawn.size[:, 0] / drawn.size[:, 1]
    assert area.min() == pytest.approx(0.25, abs=0.001)
    assert area.mean() == pytest.approx(0.625, abs=0.005)
    assert 3 / 4 - 1e-12 <= ratio.min() < 0.76
    assert 1.32 < ratio.max() <= 4 / 3 + 1e-12
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.005)
    assert (np.abs(drawn.centre) + drawn.size <= 1 + 1e-12).all()
    assert np.corrcoef(drawn.centre.T)[0, 1] == pytest.approx(0, abs=0.03)


def test_draw__partners_are_each_image_once() -> None:
    assert sorted(draws(n_images=50).partner) == list(range(50))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_draw__shares_are_beta(alpha: float) -> None:
    shares = draws(AugmentSpec(mixup=alpha)).share
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


@pytest.mark.parametrize("name", ["flip", "rotate", "shear", "crop", "hue", "mixup"])
def test_draw__switching_one_off_leaves_the_others(name: str) -> None:
    off = AugmentSpec.model_fields[name].default
    kept = fields(draws(EVERYTHING.model_copy(update={name: off}), 20))
    changed = [field for field, values in fields(draws(n_images=20)).items() if not np.array_equal(values, kept[field])]
    expected = {
        "flip": ["flipped"], "rotate": ["turned"], "shear": ["leaning"], "crop": ["size", "centre"], "hue": ["hue"],
        "mixup": ["share"],
    }  # fmt: skip
    assert changed == expected[name]


def test_draw__nothing_leaves_everything_as_it_is() -> None:
    drawn = draws(AugmentSpec(), 30)
    np.testing.assert_allclose(placements(drawn), np.tile(np.eye(2, 3), (30, 1, 1)), atol=1e-15)
    np.testing.assert_allclose(colour_maps(drawn), np.tile(np.eye(3, 6), (30, 1, 1)), atol=1e-15)
    assert (drawn.share == 1).all()


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        AugmentSpec,
        **{name: st.floats(0, 1) for name in ("flip", "brightness", "contrast", "saturation")},
        rotate=st.floats(0, 180),
        shear=st.floats(0, 45),
        crop=st.floats(0, 1, exclude_min=True, allow_subnormal=False),
        hue=st.floats(0, 0.5),
        mixup=st.floats(0, 10, allow_subnormal=False),
    ),
    st.integers(0, 100),
)
def test_draw__is_finite_for_all_valid_settings(spec: AugmentSpec, step: int) -> None:
    drawn = draws(spec, 5, step=step)
    assert np.isfinite(placements(drawn)).all()
    assert np.isfinite(colour_maps(drawn)).all()
    assert ((drawn.share >= 0) & (drawn.share <= 1)).all()


def test_colour_maps__keep_greys_grey() -> None:
    maps = colour_maps(draws(n_images=100))
    grey = maps @ np.array([0.2, 0.2, 0.2, 0.6, 0.6, 0.6])
    np.testing.assert_allclose(grey, grey[:, :1] * np.ones(3), atol=1e-12)


def test_colour_maps__hue_turns_i_and_q_of_yiq() -> None:
    drawn = draws(AugmentSpec(hue=0.5), 50)
    red = colour_maps(drawn)[:, :, 0]
    y, i, q = colorsys.rgb_to_yiq(1, 0, 0)
    for mapped, turns in zip(red, drawn.hue, strict=True):
        turned = complex(i, q) * np.exp(-2j * math.pi * turns)
        # colorsys rounds its coefficients to two digits instead of four, and clips.
        expected = colorsys.yiq_to_rgb(y, turned.real, turned.imag)
        np.testing.assert_allclose(mapped.clip(0, 1), expected, atol=0.03)


def test_colour_maps__hue_goes_from_red_towards_yellow() -> None:
    drawn = draws(AugmentSpec(hue=0.1), 50)
    red, green, blue = colour_maps(drawn)[:, :, 0].T
    assert ((green > blue) == (drawn.hue > 0)).all()
    assert (red > np.maximum(green, blue)).all()
