"""Complete a RunSpec: resolve the defaults that depend on the dataset, the model and other fields."""

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
    """Resolve all defaults. A default that is too large is reduced; a value that the user wrote is not changed.

    Args:
        written: the spec with the values of the user and plain defaults. Pydantic records which fields the user wrote.
        facts: facts of the dataset; None if they are unknown before a worker loads the dataset.
        decay: decay of the learning rate towards the input of this model, for the recipe `two_phase`.

    Raises:
        InvalidSpecError: a value that the user wrote does not fit; `field` names it.
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
    """Return the spec of a new drawing of a run.

    Args:
        drawn: spec of the run.
        changes: the fields that the user wrote, by section; or a new `name`.

    Raises:
        InvalidSpecError: `score.k` exceeds the probe set, a trail names an image that is not in the probe set, or the
            change of a comparison is not about its drawing.
    """
    if drawn.compared and (meant := changes.keys() - {"name", "render"}):
        raise InvalidSpecError(
            "A comparison shows the existing layouts of its runs. Draw these runs again, and compare the new runs.",
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
        detail = f"k is {spec.score.k}, but each probe image has {others} others. Set k to at most {others}."
        raise InvalidSpecError(detail, field="score.k")
    refuse_unknown_trails(spec.render, spec.capture)
    return spec


def _aligned(align: AlignSpec, project: ProjectSpec) -> AlignSpec:
    """Return the alignment that the user wrote, or the default alignment of the layout method."""
    if "method" in align.model_fields_set:
        return align
    return align.model_copy(update={"method": LAYOUTS[project.method].usual_alignment})


def _check_train_size(train: TrainSpec, facts: DatasetFacts) -> None:
    if train.train_size is not None and train.train_size > facts.train_size:
        raise InvalidSpecError(
            f"train_size is {train.train_size}, but the training split has {facts.train_size} images. Set train_size "
            f"to at most {facts.train_size}, or leave it out to use all images.",
            field="train.train_size",
        )
