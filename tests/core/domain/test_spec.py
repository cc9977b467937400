import pytest
from pydantic import ValidationError

from core.domain.augment import AugmentSpec
from core.domain.spec import LoraSpec, RunSpec, TrainSpec


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1])
def test_a_learning_rate_that_is_no_rate(value):
    with pytest.raises(ValidationError):
        TrainSpec(learning_rate=value)


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="extra"):
        RunSpec.model_validate({"dataset": "digits", "surprise": 1})


@pytest.mark.parametrize(
    ("on", "moves", "recolours"),
    [
        ({}, False, False),
        ({"flip": 0.5}, True, False),
        ({"rotate": 10}, True, False),
        ({"shear": 10}, True, False),
        ({"crop": 0.9}, True, False),
        ({"brightness": 0.1}, False, True),
        ({"contrast": 0.1}, False, True),
        ({"saturation": 0.1}, False, True),
        ({"hue": 0.1}, False, True),
    ],
)
def test_augment__lists_the_active_augmentations(on, moves, recolours):
    spec = AugmentSpec(**on)
    assert (spec.moves, spec.recolours, spec.active) == (moves, recolours, bool(on))
    assert AugmentSpec(**on, mixup=0.2).active


@pytest.mark.parametrize(
    ("field", "value"),
    [("flip", 1.1), ("rotate", 181), ("shear", 46), ("crop", 0), ("brightness", -0.1), ("hue", 0.6), ("mixup", -1)],
)
def test_augment__more_than_there_is(field, value):
    with pytest.raises(ValidationError, match=field):
        AugmentSpec(**{field: value})


@pytest.mark.parametrize("rule", [{}, {"patience": 0}, {"patience": 1, "min_delta": -0.1}, {"patience": 1.5}])
def test_early_stopping__is_a_number_of_checkpoints_and_how_much_is_better(rule):
    assert TrainSpec(early_stopping={"patience": 1}).early_stopping.min_delta == 0
    with pytest.raises(ValidationError, match="early_stopping"):
        TrainSpec(early_stopping=rule)


def test_label_smoothing__leaves_something_of_the_label():
    with pytest.raises(ValidationError, match="label_smoothing"):
        TrainSpec(label_smoothing=1)


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("rank", 257), ("alpha", 0), ("dropout", 1)])
def test_lora__beyond_its_ranges(field, value):
    with pytest.raises(ValidationError, match=field):
        LoraSpec(**{field: value})
