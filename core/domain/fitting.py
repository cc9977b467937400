"""Whether the sections of a spec fit each other, the dataset and the model.

A default that does not fit is bounded; what the user wrote is refused instead.
"""

from typing import TypeVar

from core.domain.frozen import Frozen
from core.domain.spec import CaptureSpec, DatasetFacts, RenderSpec, ScoreSpec, TrainSpec
from core.errors import InvalidSpecError

MAX_CLASSES = 200

Section = TypeVar("Section", bound=Frozen)


def fit_to_steps(capture: CaptureSpec, *, steps: int) -> CaptureSpec:
    """Bound `frames` by the checkpoints there are; a number that the user wrote is never changed.

    Raises:
        InvalidSpecError: more frames were asked for than steps + 1.
    """
    return _bound(capture, "frames", steps + 1, "capture", f"{steps} steps have {steps + 1} checkpoints")


def refuse_few_frames(train: TrainSpec, capture: CaptureSpec) -> None:
    """Refuse a film that cannot show the end of each phase, or one paced by the drift of what stands still.

    Raises:
        InvalidSpecError: there are fewer frames than phases and one more, or only the head learns and capture.spacing
            is "drift".
    """
    if capture.frames < (least := len(train.phase_spans) + 1):
        raise InvalidSpecError(
            f"frames is {capture.frames}, but the beginning and the end of each phase are {least}: ask for at least "
            "that many.",
            field="capture.frames",
        )
    if capture.spacing == "drift" and train.head_alone:
        raise InvalidSpecError(
            'Where only the head learns the embeddings stand still: ask for capture.spacing "even" or "log".',
            field="capture.spacing",
        )


def refuse_idle_adapters(train: TrainSpec) -> None:
    """Refuse adapters that never learn.

    Raises:
        InvalidSpecError: only the head learns, and train.lora asks for adapters before it.
    """
    if train.lora and train.head_alone:
        raise InvalidSpecError(
            "Where only the head learns nothing is adapted: leave lora out, or let other layers learn too.",
            field="train.lora",
        )


def refuse_unfit_phases(train: TrainSpec, layers: int) -> None:
    """Refuse phases that do not fit a model of so many blocks, the head included.

    Raises:
        InvalidSpecError: a phase counts more of them, or lets one stand still.
    """
    for place, phase in enumerate(train.phases):
        phase.shares(layers, field=f"train.phases.{place}")


def refuse_unknown_steps(train: TrainSpec, capture: CaptureSpec) -> None:
    """Refuse to keep the weights of steps that only the training will choose.

    Raises:
        InvalidSpecError: train.keep_weights is "all" where capture.spacing is "drift", or training may end early.
    """
    if train.keep_weights != "all":
        return
    if capture.spacing == "drift":
        raise InvalidSpecError(
            'keep_weights "all" needs steps that are known beforehand: ask for capture.spacing "even" or "log", or for '
            'the "last" weights.',
            field="train.keep_weights",
        )
    if train.early_stopping:
        raise InvalidSpecError(
            'keep_weights "all" needs steps that are known beforehand: leave early_stopping out, or ask for the "last" '
            "weights, which are those that training ends with.",
            field="train.keep_weights",
        )


def refuse_unheard_losses(train: TrainSpec, capture: CaptureSpec) -> None:
    """Refuse to end a training early that does not know its losses, or paces its checkpoints by its last step.

    Raises:
        InvalidSpecError: there is train.early_stopping where capture.mode is "offload" or capture.spacing is "drift".
    """
    if train.early_stopping is None:
        return
    if capture.mode == "offload":
        raise InvalidSpecError(
            'early_stopping goes by the loss on the probe set, which others measure where capture.mode is "offload": '
            'ask for "inline", or leave it out.',
            field="train.early_stopping",
        )
    if capture.spacing == "drift":
        raise InvalidSpecError(
            'With capture.spacing "drift" it is the way up to the last step that is shared out among the checkpoints: '
            'ask for "even" or "log", or leave early_stopping out.',
            field="train.early_stopping",
        )


def refuse_unknown_trails(render: RenderSpec, capture: CaptureSpec) -> None:
    """Refuse to draw the way of an image that is not shown.

    Raises:
        InvalidSpecError: render.trails names one beyond the probe set.
    """
    if unknown := [image for image in render.trails if image >= capture.probe_size]:
        raise InvalidSpecError(
            f"There is no probe image {unknown[0]}: there are {capture.probe_size}, counted from 0. The outliers of a "
            "film tell an image's number as `image`.",
            field="render.trails",
        )


def refuse_many_classes(facts: DatasetFacts) -> None:
    """Refuse a dataset with more classes than a film can tell apart.

    Raises:
        InvalidSpecError: it has more than MAX_CLASSES.
    """
    if (n_classes := len(facts.class_names)) > MAX_CLASSES:
        detail = f"The dataset has {n_classes} classes, a film shows at most {MAX_CLASSES}: upload fewer of them."
        raise InvalidSpecError(detail, field="dataset")


def fit_to_dataset(capture: CaptureSpec, score: ScoreSpec, facts: DatasetFacts) -> tuple[CaptureSpec, ScoreSpec]:
    """Bound the probe set by the evaluation split, and `k` by the probe set.

    Raises:
        InvalidSpecError: a larger number was asked for than there are images, or there are too many classes.
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
        raise InvalidSpecError(f"{field} is {value}, but {reason}: ask for at most {limit}.", field=f"{path}.{field}")
    return section.model_copy(update={field: limit})
