"""From what a user writes to a complete RunSpec: defaults that depend on the dataset, the model and other fields."""

from collections.abc import Mapping
from typing import Any

from core.domain import layers
from core.domain.fitting import (
    fit_to_dataset,
    fit_to_steps,
    refuse_few_frames,
    refuse_idle_adapters,
    refuse_unfit_phases,
    refuse_unheard_losses,
    refuse_unknown_steps,
    refuse_unknown_trails,
)
from core.domain.layouts import LAYOUTS
from core.domain.phases import LayerDecay
from core.domain.spec import AlignSpec, DatasetFacts, ProjectSpec, RunSpec, TrainSpec
from core.errors import InvalidSpecError


def complete(written: RunSpec, facts: DatasetFacts | None, *, decay: LayerDecay) -> RunSpec:
    """Resolve every default. A default that does not fit is bounded; a number that the user wrote is not.

    Args:
        written: the spec as the user wrote it, with its plain defaults. Pydantic remembers which fields were written.
        facts: of the dataset; None where only a worker can find them out.
        decay: of the learning rates of this model towards its input, for the recipe `two_phase`.

    Raises:
        InvalidSpecError: a field that the user wrote does not fit; `field` names it.
    """
    if facts:
        _check_train_size(written.train, facts)
    train = written.train.settled(n_images=facts.train_size if facts else None, decay=decay)
    refuse_unheard_losses(train, written.capture)
    refuse_unknown_steps(train, written.capture)
    refuse_idle_adapters(train)
    if described := layers.descriptions().get(written.model):
        refuse_unfit_phases(train, len(described.blocks))
    capture, score = fit_to_steps(written.capture, steps=train.steps), written.score
    refuse_few_frames(train, capture)
    if facts:
        capture, score = fit_to_dataset(capture, score, facts)
    refuse_unknown_trails(written.render, capture)
    align = _aligned(written.align, written.project)
    return written.model_copy(update={"train": train, "capture": capture, "score": score, "align": align})


def redrawn(drawn: RunSpec, changes: Mapping[str, Any]) -> RunSpec:
    """The spec of another drawing of a run.

    Args:
        drawn: spec of the run.
        changes: by section, the fields that the user wrote; or a new `name`.

    Raises:
        InvalidSpecError: `score.k` exceeds the probe set, a trail is asked for of an image that is not in it, or a
            comparison would be laid out anew.
    """
    if drawn.compared and (meant := changes.keys() - {"name", "render"}):
        raise InvalidSpecError(
            "A comparison shows its runs as they are laid out. Draw those runs anew, and compare the new drawings.",
            field=min(meant),
        )
    fields = drawn.model_dump()
    for section, change in changes.items():
        fields[section] = {**fields[section], **change} if isinstance(change, dict) else change
    usual = drawn.align.method == LAYOUTS[drawn.project.method].usual_alignment
    if usual and "method" not in changes.get("align", {}):
        fields["align"]["method"] = LAYOUTS[fields["project"]["method"]].usual_alignment
    spec = RunSpec.model_validate(fields)
    others = spec.capture.probe_size - 1
    if spec.score.k > others:
        detail = f"k is {spec.score.k}, but each probe image has {others} others: ask for at most {others}."
        raise InvalidSpecError(detail, field="score.k")
    refuse_unknown_trails(spec.render, spec.capture)
    return spec


def _aligned(align: AlignSpec, project: ProjectSpec) -> AlignSpec:
    """The alignment that the user wrote, or the usual one of the layout method."""
    if "method" in align.model_fields_set:
        return align
    return align.model_copy(update={"method": LAYOUTS[project.method].usual_alignment})


def _check_train_size(train: TrainSpec, facts: DatasetFacts) -> None:
    if train.train_size is not None and train.train_size > facts.train_size:
        raise InvalidSpecError(
            f"train_size is {train.train_size}, but the training split has {facts.train_size} images: ask for at "
            "most that many, or leave it out for all.",
            field="train.train_size",
        )
