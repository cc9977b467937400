"""Phases of a training: the trained layers, the length and the learning rate of each phase.

    Phase(name="feature extraction", trainable="head", epochs=16, learning_rate=1e-3)
    Phase(name="fine-tuning", epochs=8, learning_rate=1e-4, layer_decay=LayerDecay(kind="exponential", factor=0.75))

Each phase has a new optimiser. `core.learn.families` finds the blocks of a model. A final norm belongs to the block of
the head. Training only the head is linear probing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from core.domain.frozen import ONE_LINE, Frozen
from core.errors import InvalidSpecError

Schedule: TypeAlias = Literal["cosine", "linear", "constant"]
Optimizer: TypeAlias = Literal["adamw", "adam", "sgd"]

MAX_STEPS = 1_000_000
"""Largest number of optimiser steps of a training. Chosen by hand; not measured."""
SMALLEST_MULTIPLIER = 1e-6
"""Smallest learning-rate multiplier of a trained block.

With a smaller multiplier the block would not change in single precision, although the user asked for its training.
Chosen by hand: it is about eight times the spacing of float32 at 1.
"""


class LayerDecay(Frozen):
    """Decay of the learning rate from the head towards the input."""

    kind: Annotated[
        Literal["exponential", "linear", "family"],
        Field(
            description="exponential: the learning rate of each block is `factor` times the learning rate of the next "
            "block; linear: the learning rates of the blocks are evenly spaced; family: the decay of the model's "
            "family."
        ),
    ]
    factor: Annotated[
        float | None,
        Field(gt=0, le=1, description="exponential: ratio of the learning rates of two consecutive blocks."),
    ] = None
    floor: Annotated[
        float | None,
        Field(gt=0, le=1, description="linear: ratio of the learning rates of the first block and the head."),
    ] = None

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        takes = {"exponential": ("factor",), "linear": ("floor",), "family": ()}[self.kind]
        given = tuple(name for name in ("factor", "floor") if getattr(self, name) is not None)
        if given != takes:
            wanted = f"only `{takes[0]}`" if takes else "neither `factor` nor `floor`"
            raise ValueError(f"layer_decay of kind {self.kind!r} takes {wanted}")
        return self

    def multiplier(self, layer: int, *, layers: int) -> float:
        """Return the learning-rate multiplier of a layer relative to the head, in (0, 1].

        Args:
            layer: index of the layer, from 0 at the input to layers - 1 at the head.
            layers: number of layers.

        Raises:
            ValueError: the kind is "family". Call `Phase.with_family_decay` first.

        >>> LayerDecay(kind="exponential", factor=0.5).multiplier(0, layers=4)
        0.125
        >>> LayerDecay(kind="linear", floor=0.1).multiplier(0, layers=4)
        0.1
        """
        if self.factor is not None:
            return self.factor ** (layers - 1 - layer)
        if self.floor is None:
            raise ValueError("the decay of the family is not resolved")
        floor = self.floor
        return floor + (1 - floor) * layer / max(1, layers - 1)


class Phase(Frozen):
    """A part of a training, with an optimiser and a learning-rate schedule of its own."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            pattern=ONE_LINE,
            description="Name of the phase; the film shows it where the phase begins.",
        ),
    ]
    trainable: Annotated[
        Literal["head", "last_n_blocks", "all"],
        Field(
            description="head: only the classifier head (linear probing); last_n_blocks: the head and the last "
            "`n_blocks` blocks; all: all layers. Other layers are frozen, including their normalisation statistics."
        ),
    ] = "all"
    n_blocks: Annotated[
        int | None, Field(ge=1, le=1000, description="last_n_blocks: number of blocks before the head.")
    ] = None
    steps: Annotated[
        int | None, Field(ge=1, le=MAX_STEPS, description="Length in optimiser steps. Set `steps` or `epochs`.")
    ] = None
    epochs: Annotated[
        float | None,
        Field(
            gt=0,
            le=10_000,
            description="Length in passes over the training images. `steps` replaces it when the run is accepted.",
        ),
    ] = None
    learning_rate: Annotated[float, Field(gt=0, le=10, description="Peak learning rate of the head.")] = 1e-3
    layer_decay: Annotated[
        LayerDecay | None,
        Field(
            description="Decay of the learning rate towards the input; null: all layers have the same learning rate."
        ),
    ] = None
    optimizer: Annotated[Optimizer, Field(description="sgd has a momentum of 0.9.")] = "adamw"
    weight_decay: Annotated[
        float, Field(ge=0, le=1, description="adamw: decoupled; adam and sgd: added to the gradient.")
    ] = 0.05
    schedule: Annotated[Schedule, Field(description="Learning-rate schedule after the warm-up.")] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1, description="Fraction of the phase's steps with a linear warm-up.")] = (
        0.0
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("a phase takes either `steps` or `epochs`")
        if (self.n_blocks is None) != (self.trainable != "last_n_blocks"):
            raise ValueError('`n_blocks` must be set if `trainable` is "last_n_blocks", and only then')
        if self.trainable == "head" and self.layer_decay is not None:
            raise ValueError('`layer_decay` has no effect if `trainable` is "head": leave it out')
        return self

    def multipliers(self, layers: int, *, field: str) -> list[float]:
        """Return the learning-rate multiplier of each block relative to the head, from the input to the head.

        Args:
            layers: number of blocks of the model, including the head.
            field: path of this phase in the request, for the error.

        Returns:
            `layers` multipliers in 0..1; 0 for a frozen block.

        Raises:
            InvalidSpecError: the model has fewer blocks, or a multiplier is below SMALLEST_MULTIPLIER.
        """
        first = {"head": layers - 1, "last_n_blocks": layers - 1 - (self.n_blocks or 0), "all": 0}[self.trainable]
        if first < 0:
            raise InvalidSpecError(
                f"Phase {self.name!r} trains the last {self.n_blocks} blocks, but the model has {layers - 1} blocks "
                f'before its head. Set n_blocks to at most {layers - 1}, or trainable to "all".',
                field=f"{field}.n_blocks",
            )
        decay = self.layer_decay
        multipliers = [decay.multiplier(place, layers=layers) if decay else 1.0 for place in range(first, layers)]
        if multipliers[0] < SMALLEST_MULTIPLIER:
            raise InvalidSpecError(
                f"In phase {self.name!r} the learning rate of the first block is {multipliers[0]:.1g} of the head's "
                "rate, so the block would not change. Increase factor or floor of layer_decay, or train fewer blocks "
                'with trainable "last_n_blocks".',
                field=f"{field}.layer_decay",
            )
        return [0.0] * first + multipliers

    def rate(self, step: int, *, steps: int) -> float:
        """Return the head's learning rate at update `step` of this phase, 1 to `steps`."""
        return self.learning_rate * learning_rate_factor(step, steps=steps, warmup=self.warmup, schedule=self.schedule)

    def with_family_decay(self, decay: LayerDecay) -> "Phase":
        """Return the phase with this decay if its own decay is of kind "family"."""
        if self.layer_decay is None or self.layer_decay.kind != "family":
            return self
        return self.model_copy(update={"layer_decay": decay})

    def in_steps(self, *, n_images: int | None, images_a_step: int, field: str) -> "Phase":
        """Return the phase with its length in steps.

        Args:
            n_images: number of training images; None if it is unknown before the dataset is loaded.
            images_a_step: number of images of one step.
            field: path of this phase in the request, for the error.

        Raises:
            InvalidSpecError: the length is in epochs, and the number of training images is unknown.
        """
        if self.epochs is None:
            return self
        if n_images is None:
            raise InvalidSpecError(
                "The length of an epoch is unknown before the dataset is loaded. Set `steps` or train.train_size.",
                field=f"{field}.epochs",
            )
        steps = max(1, round(self.epochs * -(-n_images // images_a_step)))
        return self.model_copy(update={"steps": steps, "epochs": None})


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """Position of a phase in a training.

    Attributes:
        place: index of the phase, from 0.
        phase: the phase.
        before: last step before the phase; 0 for the first phase.
        last: last step of the phase.
    """

    place: int
    phase: Phase
    before: int
    last: int

    def rate(self, step: int) -> float:
        """Return the head's learning rate at an update.

        Args:
            step: number of the update within the training, `before` + 1 to `last`.
        """
        return self.phase.rate(step - self.before, steps=self.last - self.before)


def phase_spans(phases: Sequence[Phase]) -> tuple[PhaseSpan, ...]:
    """Return the positions of consecutive phases. The length of each phase must be in steps."""
    ends = (0, *accumulate(phase.steps or 0 for phase in phases))
    spans = zip(phases, pairwise(ends), strict=True)
    return tuple(PhaseSpan(place, phase, before, last) for place, (phase, (before, last)) in enumerate(spans))


def learning_rate_factor(step: int, *, steps: int, warmup: float, schedule: Schedule = "cosine") -> float:
    """Return the learning rate of an update as a fraction of the peak: a linear warm-up, then the schedule.

    With w = round(warmup * steps) and t = (step - w - 1) / (steps - w):

    - warm-up, the first w updates: step / (w + 1)
    - "cosine": (1 + cos(pi t)) / 2
    - "linear": 1 - t
    - "constant": 1

    The rate is 0 just before the first update and, except
    for "constant", just after the last update. So no update has the rate 0.

    Args:
        step: number of the update, 1 to steps.
        steps: number of updates of the phase.
        warmup: fraction of the steps with warm-up, 0 <= warmup < 1.
        schedule: schedule after the warm-up.

    >>> [round(learning_rate_factor(step, steps=5, warmup=0.2), 3) for step in range(1, 6)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """
    rising = min(round(warmup * steps), steps - 1)
    if step <= rising:
        return step / (rising + 1)
    done = (step - rising - 1) / (steps - rising)
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[schedule]


def two_phases(decay: LayerDecay) -> tuple[Phase, Phase]:
    """Return the recipe "two_phase": feature extraction, then fine-tuning.

    The lengths and rates are from the transfer-learning guide of Matani, Naresh and Gaurav for Flowers102: 16 epochs of
    the head at 1e-3, then 8 epochs of all layers at 1e-4, with Adam.

    Args:
        decay: decay of the learning rate towards the input in the second phase.
    """
    adam = {"optimizer": "adam", "weight_decay": 0.0, "schedule": "constant"}
    return (
        Phase(name="feature extraction", trainable="head", epochs=16, learning_rate=1e-3, **adam),  # type: ignore[arg-type]
        Phase(name="fine-tuning", epochs=8, learning_rate=1e-4, layer_decay=decay, **adam),  # type: ignore[arg-type]
    )
