import pytest
from pydantic import ValidationError

from core.domain.augment import AugmentSpec
from core.domain.spec import (
    CaptureSpec,
    DatasetFacts,
    LoraSpec,
    RunSpec,
    ScoreSpec,
    TrainSpec,
    fit_to_dataset,
    fit_to_steps,
    refuse_idle_adapters,
    refuse_unheard_losses,
    refuse_unknown_steps,
)
from core.errors import InvalidSpecError


def facts(*, evaluation_size=100, n_classes=2):
    names = tuple(map(str, range(n_classes)))
    return DatasetFacts(digest="d", class_names=names, train_size=50, evaluation_size=evaluation_size)


def test_defaults_that_do_not_fit_are_bounded():
    assert fit_to_steps(CaptureSpec(), steps=10).frames == 11
    capture, score = fit_to_dataset(CaptureSpec(), ScoreSpec(), facts(evaluation_size=5))
    assert (capture.probe_size, score.k) == (5, 4)


def test_what_the_user_wrote_is_refused_instead():
    with pytest.raises(InvalidSpecError, match="at most 11") as caught:
        fit_to_steps(CaptureSpec(frames=12), steps=10)
    assert caught.value.field == "capture.frames"
    with pytest.raises(InvalidSpecError) as caught:
        fit_to_dataset(CaptureSpec(probe_size=101), ScoreSpec(), facts())
    assert caught.value.field == "capture.probe_size"
    with pytest.raises(InvalidSpecError) as caught:
        fit_to_dataset(CaptureSpec(probe_size=5), ScoreSpec(k=5), facts())
    assert caught.value.field == "score.k"


def test_more_classes_than_a_film_shows():
    with pytest.raises(InvalidSpecError, match="201 classes"):
        fit_to_dataset(CaptureSpec(), ScoreSpec(), facts(n_classes=201))


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
def test_augment__knows_what_is_on(on, moves, recolours):
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


@pytest.mark.parametrize(
    ("capture", "advice"), [({"mode": "offload"}, 'ask for "inline"'), ({"spacing": "drift"}, 'ask for "even"')]
)
def test_early_stopping__where_the_training_cannot_know(capture, advice):
    train, unknowing = TrainSpec(early_stopping={"patience": 1}), CaptureSpec(**capture)
    with pytest.raises(InvalidSpecError, match=advice) as caught:
        refuse_unheard_losses(train, unknowing)
    assert caught.value.field == "train.early_stopping"
    refuse_unheard_losses(train, CaptureSpec(spacing="log"))
    refuse_unheard_losses(TrainSpec(), unknowing)


def test_early_stopping__no_weights_of_steps_that_may_never_come():
    train = TrainSpec(early_stopping={"patience": 1}, keep_weights="all")
    with pytest.raises(InvalidSpecError, match="leave early_stopping out") as caught:
        refuse_unknown_steps(train, CaptureSpec())
    assert caught.value.field == "train.keep_weights"
    refuse_unknown_steps(train.model_copy(update={"keep_weights": "last"}), CaptureSpec())
    refuse_unknown_steps(TrainSpec(keep_weights="all"), CaptureSpec())


def test_label_smoothing__leaves_something_of_the_label():
    with pytest.raises(ValidationError, match="label_smoothing"):
        TrainSpec(label_smoothing=1)


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("rank", 257), ("alpha", 0), ("dropout", 1)])
def test_lora__beyond_its_ranges(field, value):
    with pytest.raises(ValidationError, match=field):
        LoraSpec(**{field: value})


def test_lora__wants_something_to_adapt():
    head = {"name": "head", "trainable": "head", "steps": 1}
    idle = [{"recipe": "head_only"}, {"phases": [head, head | {"name": "again"}]}]
    for fields in idle:
        refuse_idle_adapters(TrainSpec.model_validate(fields))
        with pytest.raises(InvalidSpecError) as caught:
            refuse_idle_adapters(TrainSpec.model_validate(fields | {"lora": {}}))
        assert caught.value.field == "train.lora"
    for fields in ({}, {"phases": [head, {"name": "all", "steps": 1}]}):
        refuse_idle_adapters(TrainSpec.model_validate(fields | {"lora": {}}))
