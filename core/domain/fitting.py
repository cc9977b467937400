"""Checks that the sections of a spec fit each other, the dataset and the model.

A default that is too large is reduced. A value that the user wrote is never changed: it is refused.
"""

from typing import TypeVar

from core.domain.frozen import Frozen
from core.domain.spec import CaptureSpec, DatasetFacts, RenderSpec, ScoreSpec, TrainSpec
from core.errors import InvalidSpecError

MAX_CLASSES = 200
"""Largest number of classes of a dataset. Chosen by hand: a film cannot show more classes as different colours."""

Section = TypeVar("Section", bound=Frozen)


def fit_to_steps(capture: CaptureSpec, *, steps: int) -> CaptureSpec:
    """Limit `frames` to the number of checkpoints, steps + 1.

    Args:
        capture: the section.
        steps: number of optimiser steps of the training.

    Raises:
        InvalidSpecError: the user wrote more frames than steps + 1.
    """
    return _bound(capture, "frames", steps + 1, "capture", f"{steps} steps have {steps + 1} checkpoints")


def refuse_few_frames(train: TrainSpec, capture: CaptureSpec) -> None:
    """Refuse too few frames, and capture by drift of embeddings that do not change.

    Raises:
        InvalidSpecError: there are fewer frames than the number of phases + 1, or only the head is trained and
            capture.spacing is "drift".
    """
    if capture.frames < (least := len(train.phase_spans) + 1):
        raise InvalidSpecError(
            f"frames is {capture.frames}, but the start of the training and the ends of its phases need {least} "
            f"frames. Set frames to at least {least}.",
            field="capture.frames",
        )
    if capture.spacing == "drift" and train.head_alone:
        raise InvalidSpecError(
            'If only the head is trained, the embeddings do not change. Set capture.spacing to "even" or "log".',
            field="capture.spacing",
        )


def refuse_idle_adapters(train: TrainSpec) -> None:
    """Refuse adapters that are never trained.

    Raises:
        InvalidSpecError: train.lora is set, and only the head is trained.
    """
    if train.lora and train.head_alone:
        raise InvalidSpecError(
            "If only the head is trained, no adapter is trained. Leave out lora, or train other layers too.",
            field="train.lora",
        )


def refuse_unfit_phases(train: TrainSpec, layers: int) -> None:
    """Refuse phases that do not fit the model.

    Args:
        train: the section.
        layers: number of blocks of the model, including the head.

    Raises:
        InvalidSpecError: a phase trains more blocks than the model has, or a learning rate is so small that a block
            would not change.
    """
    for place, phase in enumerate(train.phases):
        phase.multipliers(layers, field=f"train.phases.{place}")


def refuse_unknown_steps(train: TrainSpec, capture: CaptureSpec) -> None:
    """Refuse to keep the weights of all checkpoints if their steps are not known before the training.

    Raises:
        InvalidSpecError: train.keep_weights is "all", and capture.spacing is "drift" or train.early_stopping is set.
    """
    if train.keep_weights != "all":
        return
    if capture.spacing == "drift":
        raise InvalidSpecError(
            'keep_weights "all" needs steps that are known before the training. Set capture.spacing to "even" or '
            '"log", or keep_weights to "last".',
            field="train.keep_weights",
        )
    if train.early_stopping:
        raise InvalidSpecError(
            'keep_weights "all" needs steps that are known before the training. Leave out early_stopping, or set '
            'keep_weights to "last", which keeps the weights at the end of the training.',
            field="train.keep_weights",
        )


def refuse_unheard_losses(train: TrainSpec, capture: CaptureSpec) -> None:
    """Refuse early stopping if the training does not measure the loss, or needs to know its last step.

    Raises:
        InvalidSpecError: train.early_stopping is set, and capture.mode is "offload" or capture.spacing is "drift".
    """
    if train.early_stopping is None:
        return
    if capture.mode == "offload":
        raise InvalidSpecError(
            'early_stopping needs the loss on the probe set, which other workers measure if capture.mode is "offload". '
            'Set capture.mode to "inline", or leave out early_stopping.',
            field="train.early_stopping",
        )
    if capture.spacing == "drift":
        raise InvalidSpecError(
            'capture.spacing "drift" distributes the checkpoints over all steps, so the last step must be known. Set '
            'it to "even" or "log", or leave out early_stopping.',
            field="train.early_stopping",
        )


def refuse_unknown_trails(render: RenderSpec, capture: CaptureSpec) -> None:
    """Refuse the trail of an image that is not in the probe set.

    Raises:
        InvalidSpecError: render.trails names an image that does not exist.
    """
    if unknown := [image for image in render.trails if image >= capture.probe_size]:
        raise InvalidSpecError(
            f"There is no probe image {unknown[0]}. The {capture.probe_size} probe images are counted from 0. The "
            "field `image` of a run's outliers is the number of an image.",
            field="render.trails",
        )


def refuse_many_classes(facts: DatasetFacts) -> None:
    """Refuse a dataset with too many classes.

    Raises:
        InvalidSpecError: the dataset has more than MAX_CLASSES classes.
    """
    if (n_classes := len(facts.class_names)) > MAX_CLASSES:
        detail = (
            f"The dataset has {n_classes} classes, but a film shows at most {MAX_CLASSES}. "
            "Choose a dataset with fewer classes."
        )
        raise InvalidSpecError(detail, field="dataset")


def fit_to_dataset(capture: CaptureSpec, score: ScoreSpec, facts: DatasetFacts) -> tuple[CaptureSpec, ScoreSpec]:
    """Limit `probe_size` to the evaluation split, and `k` to the probe set.

    Raises:
        InvalidSpecError: the user wrote a number that is too large, or the dataset has too many classes.
    """
    refuse_many_classes(facts)
    size = facts.evaluation_size
    capture = _bound(capture, "probe_size", size, "capture", f"the evaluation split has {size} images")
    others = capture.probe_size - 1
    return capture, _bound(score, "k", others, "score", f"each probe image has {others} others")


def _bound(section: Section, field: str, limit: int, path: str, reason: str) -> Section:
    value = getattr(section, field)
    if value <= limit:
        return section
    if field in section.model_fields_set:
        raise InvalidSpecError(
            f"{field} is {value}, but {reason}. Set {field} to at most {limit}.", field=f"{path}.{field}"
        )
    return section.model_copy(update={field: limit})
