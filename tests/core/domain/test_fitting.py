import pytest

from core.domain.fitting import (
    fit_to_dataset,
    fit_to_steps,
    refuse_idle_adapters,
    refuse_unheard_losses,
    refuse_unknown_steps,
)
from core.domain.spec import CaptureSpec, DatasetFacts, ScoreSpec, TrainSpec
from core.errors import InvalidSpecError


def facts(*, evaluation_size=100, n_classes=2):
    names = tuple(map(str, range(n_classes)))
    return DatasetFacts(digest="d", class_names=names, train_size=50, evaluation_size=evaluation_size)


def test_defaults_that_do_not_fit_are_bounded():
    assert fit_to_steps(CaptureSpec(), steps=10).frames == 11
    capture, score = fit_to_dataset(CaptureSpec(), ScoreSpec(), facts(evaluation_size=5))
    assert (capture.probe_size, score.k) == (5, 4)


def test_fitting__explicit_values_that_do_not_fit_are_refused():
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


@pytest.mark.parametrize(
    ("capture", "advice"),
    [({"mode": "offload"}, 'Set capture.mode to "inline"'), ({"spacing": "drift"}, 'Set it to "even"')],
)
def test_early_stopping__is_refused_if_frames_are_not_evaluated_in_time(capture, advice):
    train, unknowing = TrainSpec(early_stopping={"patience": 1}), CaptureSpec(**capture)
    with pytest.raises(InvalidSpecError, match=advice) as caught:
        refuse_unheard_losses(train, unknowing)
    assert caught.value.field == "train.early_stopping"
    refuse_unheard_losses(train, CaptureSpec(spacing="log"))
    refuse_unheard_losses(TrainSpec(), unknowing)


def test_early_stopping__no_weights_of_steps_that_may_never_come():
    train = TrainSpec(early_stopping={"patience": 1}, keep_weights="all")
    with pytest.raises(InvalidSpecError, match="Leave out early_stopping") as caught:
        refuse_unknown_steps(train, CaptureSpec())
    assert caught.value.field == "train.keep_weights"
    refuse_unknown_steps(train.model_copy(update={"keep_weights": "last"}), CaptureSpec())
    refuse_unknown_steps(TrainSpec(keep_weights="all"), CaptureSpec())


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
