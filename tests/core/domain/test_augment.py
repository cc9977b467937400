import pytest

from core.domain.augment import AugmentSpec

ON = {
    "flip": 0.5,
    "rotate": 10,
    "shear": 5,
    "crop": 0.8,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.1,
    "mixup": 0.2,
}
MOVING = {"flip", "rotate", "shear", "crop"}


def test_off_by_default():
    spec = AugmentSpec()
    assert (spec.active, spec.moves, spec.recolours) == (False, False, False)


@pytest.mark.parametrize("name", AugmentSpec.model_fields)
def test_each_field_alone(name):
    spec = AugmentSpec(**{name: ON[name]})
    assert spec.active
    assert spec.moves == (name in MOVING)
    assert spec.recolours == (name not in MOVING | {"mixup"})
