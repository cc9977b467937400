"""Phases of a training: what learns, for how long, how fast.

    Phase(name="feature extraction", trainable="head", epochs=16, learning_rate=1e-3)
    Phase(name="fine-tuning", epochs=8, learning_rate=1e-4, layer_decay=LayerDecay(kind="exponential", factor=0.75))

In each phase a new optimiser begins. Layers are counted from the head: a model's blocks are those of
`core.learn.families`, a final norm learns with the head.
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
SMALLEST_SHARE = 1e-6
"""A layer whose rate is a smaller share of the head's would stand still, and look as if it learnt."""


class LayerDecay(Frozen):
    """How the learning rate falls from the head towards the input."""

    kind: Annotated[
        Literal["exponential", "linear", "family"],
        Field(
            description="exponential: each block learns `factor` times as fast as the one after it; linear: evenly; "
            "family: as the family of the model has it, which may be known only when it is loaded."
        ),
    ]
    factor: Annotated[float | None, Field(gt=0, le=1, description="exponential: of two neighbouring blocks.")] = None
    floor: Annotated[
        float | None, Field(gt=0, le=1, description="linear: of the first block's rate and the head's.")
    ] = None

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        takes = {"exponential": ("factor",), "linear": ("floor",), "family": ()}[self.kind]
        given = tuple(name for name in ("factor", "floor") if getattr(self, name) is not None)
        if given != takes:
            wanted = f"`{takes[0]}`, and nothing else" if takes else "no number"
            raise ValueError(f"layer_decay of the kind {self.kind!r} takes {wanted}")
        return self

    def share(self, layer: int, *, layers: int) -> float:
        """What part of the head's rate a layer learns at; the kind "family" must have been looked up before.

        Args:
            layer: 0 at the input, layers - 1 at the head.
            layers: how many there are.

        >>> LayerDecay(kind="exponential", factor=0.5).share(0, layers=4)
        0.125
        >>> LayerDecay(kind="linear", floor=0.1).share(0, layers=4)
        0.1
        """
        if self.factor is not None:
            return self.factor ** (layers - 1 - layer)
        if self.floor is None:
            raise ValueError("what the family's decay is has not been looked up")
        floor = self.floor
        return floor + (1 - floor) * layer / max(1, layers - 1)


class Phase(Frozen):
    """A part of a training; its optimiser and its learning rate begin anew."""

    name: Annotated[
        str, Field(min_length=1, max_length=40, pattern=ONE_LINE, description="Shown in the film, where it begins.")
    ]
    trainable: Annotated[
        Literal["head", "last_n_blocks", "all"],
        Field(
            description="head: the last linear layer; last_n_blocks: `n_blocks` before it too. What does not learn "
            "stays as it is, normalisation included."
        ),
    ] = "all"
    n_blocks: Annotated[int | None, Field(ge=1, le=1000, description="last_n_blocks: how many.")] = None
    steps: Annotated[int | None, Field(ge=1, le=MAX_STEPS, description="Optimiser steps; or say `epochs`.")] = None
    epochs: Annotated[
        float | None,
        Field(gt=0, le=10_000, description="Passes over the training images; become `steps` when the run is accepted."),
    ] = None
    learning_rate: Annotated[float, Field(gt=0, le=10, description="Peak rate of the head.")] = 1e-3
    layer_decay: Annotated[LayerDecay | None, Field(description="null: every layer learns at the same rate.")] = None
    optimizer: Annotated[Optimizer, Field(description="sgd: with a momentum of 0.9.")] = "adamw"
    weight_decay: Annotated[
        float, Field(ge=0, le=1, description="adamw: decoupled; adam and sgd: added to the gradient.")
    ] = 0.05
    schedule: Annotated[Schedule, Field(description="How the rate goes after the warm-up.")] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1, description="Share of the phase's steps.")] = 0.0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("a phase takes `steps` or `epochs`, one of the two")
        if (self.n_blocks is None) != (self.trainable != "last_n_blocks"):
            raise ValueError('`n_blocks` goes with trainable "last_n_blocks", and with nothing else')
        if self.trainable == "head" and self.layer_decay is not None:
            raise ValueError("where only the head learns there is no other layer for `layer_decay`")
        return self

    def shares(self, layers: int, *, field: str) -> list[float]:
        """What part of the head's rate each layer learns at, from the input to the head; 0 where it does not.

        Args:
            layers: blocks of the model, the head included.
            field: path of this phase, for the message.

        Raises:
            InvalidSpecError: there are fewer blocks, or the rate falls so far that a layer would stand still.
        """
        first = {"head": layers - 1, "last_n_blocks": layers - 1 - (self.n_blocks or 0), "all": 0}[self.trainable]
        if first < 0:
            raise InvalidSpecError(
                f"Phase {self.name!r} trains the last {self.n_blocks} blocks, but the model has {layers - 1} before "
                'its head: ask for at most that many, or for trainable "all".',
                field=f"{field}.n_blocks",
            )
        decay = self.layer_decay
        shares = [decay.share(place, layers=layers) if decay else 1.0 for place in range(first, layers)]
        if shares[0] < SMALLEST_SHARE:
            raise InvalidSpecError(
                f"In phase {self.name!r} the rate falls so far towards the input that the first block would stand "
                f"still ({shares[0]:.1g} of the head's rate). Raise layer_decay's factor or floor, or say with "
                'trainable "last_n_blocks" which blocks learn.',
                field=f"{field}.layer_decay",
            )
        return [0.0] * first + shares

    def rate(self, step: int, *, steps: int) -> float:
        """The head's learning rate of update `step` of this phase, 1 to `steps`."""
        return self.learning_rate * learning_rate_factor(step, steps=steps, warmup=self.warmup, schedule=self.schedule)

    def falling(self, decay: LayerDecay) -> "Phase":
        """The phase with this decay, if it asks for the family's."""
        if self.layer_decay is None or self.layer_decay.kind != "family":
            return self
        return self.model_copy(update={"layer_decay": decay})

    def in_steps(self, *, n_images: int | None, images_a_step: int, field: str) -> "Phase":
        """The phase with its length in steps.

        Args:
            n_images: training images; None where nobody knows before a worker has loaded them.
            images_a_step: images a step takes.
            field: path of this phase, for the message.

        Raises:
            InvalidSpecError: it is told in epochs of nobody knows how many images.
        """
        if self.epochs is None:
            return self
        if n_images is None:
            raise InvalidSpecError(
                "How long an epoch is, is known only when the data have been loaded: say `steps`, or train.train_size.",
                field=f"{field}.epochs",
            )
        steps = max(1, round(self.epochs * -(-n_images // images_a_step)))
        return self.model_copy(update={"steps": steps, "epochs": None})


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """Where a phase lies in a training.

    Attributes:
        place: 0, 1, 2 …
        phase: what learns, and how fast.
        before: the last step before it.
        last: its last step.
    """

    place: int
    phase: Phase
    before: int
    last: int

    def rate(self, step: int) -> float:
        """The head's learning rate of an update, by its number in the training."""
        return self.phase.rate(step - self.before, steps=self.last - self.before)


def phase_spans(phases: Sequence[Phase]) -> tuple[PhaseSpan, ...]:
    """One after another, phases whose steps are known."""
    ends = (0, *accumulate(phase.steps or 0 for phase in phases))
    spans = zip(phases, pairwise(ends), strict=True)
    return tuple(PhaseSpan(place, phase, before, last) for place, (phase, (before, last)) in enumerate(spans))


def learning_rate_factor(step: int, *, steps: int, warmup: float, schedule: Schedule = "cosine") -> float:
    """Share of the peak learning rate that update `step` uses: linear warm-up, then as the schedule says.

    With w = round(warmup * steps): step / (w + 1) for the first w updates, then with t = (step - w - 1) / (steps - w)
    "cosine" (1 + cos(pi t)) / 2, "linear" 1 - t, "constant" 1. Rate 0 lies just before the first update and, unless it
    is constant, just after the last one, so no update is wasted.

    Args:
        step: 1 to steps.
        steps: updates of the phase.
        warmup: share of the steps, 0 <= warmup < 1.
        schedule: what comes after the warm-up.

    >>> [round(learning_rate_factor(step, steps=5, warmup=0.2), 3) for step in range(1, 6)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """
    rising = min(round(warmup * steps), steps - 1)
    if step <= rising:
        return step / (rising + 1)
    done = (step - rising - 1) / (steps - rising)
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[schedule]


def two_phases(decay: LayerDecay) -> tuple[Phase, Phase]:
    """Feature extraction, then fine-tuning, with the lengths and rates of Matani, Naresh and Gaurav's guide.

    16 epochs of the head at 1e-3, then 8 epochs of all layers at 1e-4; Adam; written for Flowers102.
    """
    adam = {"optimizer": "adam", "weight_decay": 0.0, "schedule": "constant"}
    return (
        Phase(name="feature extraction", trainable="head", epochs=16, learning_rate=1e-3, **adam),  # type: ignore[arg-type]
        Phase(name="fine-tuning", epochs=8, learning_rate=1e-4, layer_decay=decay, **adam),  # type: ignore[arg-type]
    )
