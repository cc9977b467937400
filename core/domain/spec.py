"""What a user asks for: `RunSpec`, frozen and complete.

Each part is at once a section of the body of POST /v1/runs and of the stored spec, so a field, its range and its
default are written once. What depends on the dataset (`resolve`) is filled in before the spec is stored.
"""

from typing import Annotated, Literal

from pydantic import Field

from core.domain.augment import AugmentSpec
from core.domain.choices import describe, one_of
from core.domain.formats import FORMATS, GIF
from core.domain.frozen import Frozen
from core.domain.hub_dataset import MAX_LENGTH
from core.domain.layouts import ALIGNMENTS, LAYOUTS, RIGID, describe_option
from core.domain.phases import MAX_STEPS, LayerDecay, Phase, PhaseSpan, phase_spans, two_phases
from core.errors import InvalidSpecError

_STILL = 1e-6
MOST_IMAGES = 1_000_000_000


class LoraSpec(Frozen):
    """Low-rank adapters: what learns in place of the weights of linear layers and convolutions."""

    rank: Annotated[int, Field(ge=1, le=256, description="Of the product that is added to each weight.")] = 8
    alpha: Annotated[float, Field(gt=0, le=1024, description="What is added counts alpha / rank times.")] = 16.0
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of an adapter's input that is left out.")] = 0.0


class EarlyStopping(Frozen):
    """When the last phase ends before its last step."""

    patience: Annotated[
        int, Field(ge=1, description="Checkpoints in a row that do not improve on the best: training ends there.")
    ]
    min_delta: Annotated[
        float, Field(ge=0, description="The loss on the probe set improves if it falls by more than this.")
    ] = 0.0


class TrainSpec(Frozen):
    """How the model learns.

    Without `phases` there is one, which `recipe` names, of the steps, rate, decay and warm-up that are fields here.
    """

    recipe: Annotated[
        Literal["fine_tune", "head_only", "two_phase"],
        Field(
            description="fine_tune: all layers learn; head_only: the last linear layer; two_phase: the head for 16 "
            "epochs, then all layers for 8, at rates that fall towards the input; `phases` says it in full."
        ),
    ] = "fine_tune"
    phases: Annotated[
        tuple[Phase, ...],
        Field(max_length=8, description="One after another; `steps` is then all of theirs together."),
    ] = ()
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS, description="Optimiser steps.")] = 300
    batch_size: Annotated[int, Field(ge=1, le=4096, description="Images a forward pass.")] = 64
    gradient_accumulation: Annotated[int, Field(ge=1, le=256, description="Forward passes a step.")] = 1
    learning_rate: Annotated[float, Field(gt=0, le=10, description="Peak rate of AdamW.")] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1, description="Share of the steps; cosine decay follows.")] = 0.1
    clip_norm: Annotated[float, Field(gt=0, description="Gradients are clipped to this norm.")] = 1.0
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="auto: bf16 on CUDA, fp32 on a CPU.")] = (
        "auto"
    )
    train_size: Annotated[
        int | None, Field(ge=2, le=MOST_IMAGES, description="Images to train on, stratified by class; null: all.")
    ] = None
    augment: AugmentSpec = AugmentSpec()
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Share of each label that is spread evenly over all classes.")
    ] = 0.0
    lora: Annotated[
        LoraSpec | None,
        Field(
            description="null: all weights of a block learn. Otherwise low-rank adapters learn in their place, and the "
            "head, in full; `{}` takes the defaults. Wants peft on the worker."
        ),
    ] = None
    early_stopping: Annotated[
        EarlyStopping | None,
        Field(description="The last phase ends where it improves no more; null: at its last step."),
    ] = None
    log_every: Annotated[int, Field(ge=1, description="Steps between two rows of the log.")] = 1
    keep_weights: Annotated[Literal["none", "last", "all"], Field(description="Weights kept as safetensors.")] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @property
    def phase_spans(self) -> tuple[PhaseSpan, ...]:
        """The phases, and where each one lies; one where none are written."""
        return phase_spans(self.phases or (self._only_phase,))

    @property
    def _only_phase(self) -> Phase:
        return Phase(
            name=self.recipe.replace("_", " "),
            trainable="head" if self.recipe == "head_only" else "all",
            steps=self.steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
        )

    @property
    def phase_ends(self) -> tuple[int, ...]:
        """The last step of each phase."""
        return tuple(span.last for span in self.phase_spans)

    @property
    def phase_starts(self) -> tuple[tuple[int, str], ...]:
        """The step before each phase, and its name."""
        return tuple((span.before, span.phase.name) for span in self.phase_spans)

    @property
    def head_alone(self) -> bool:
        """Whether nothing but the head ever learns."""
        return all(span.phase.trainable == "head" for span in self.phase_spans)

    def expected_drift(self) -> list[float]:
        """How far each update may move the features: its learning rate; where only the head learns, next to nothing."""
        return [
            span.rate(step) * (_STILL if span.phase.trainable == "head" else 1.0)
            for span in self.phase_spans
            for step in range(span.before + 1, span.last + 1)
        ]

    def settled(self, *, n_images: int | None, decay: LayerDecay) -> "TrainSpec":
        """With each phase's length in steps, and `steps` the sum of them.

        Args:
            n_images: images of the training split; None where nobody knows.
            decay: of the rates towards the input, as the recipe has it for the model.

        Raises:
            InvalidSpecError: fields contradict each other, or an epoch is of nobody knows how many images.
        """
        phases = self._phases(decay)
        if not phases:
            return self
        per_step, n_images = self.batch_size * self.gradient_accumulation, self.train_size or n_images
        settled = tuple(
            phase.falling(decay).in_steps(n_images=n_images, images_a_step=per_step, field=f"train.phases.{place}")
            for place, phase in enumerate(phases)
        )
        steps = phase_spans(settled)[-1].last
        if steps > MAX_STEPS:
            raise InvalidSpecError(f"The phases take {steps} steps, {MAX_STEPS} are allowed.", field="train.phases")
        return self.model_copy(update={"phases": settled, "steps": steps})

    def _phases(self, decay: LayerDecay) -> tuple[Phase, ...]:
        if self.phases and self.recipe != "fine_tune":
            raise InvalidSpecError("Say either `recipe` or `phases`, not both.", field="train.recipe")
        phases = two_phases(decay) if self.recipe == "two_phase" else self.phases
        if len({phase.name for phase in phases}) < len(phases):
            raise InvalidSpecError("Two phases have the same name: give each one its own.", field="train.phases")
        for name in ("steps", "learning_rate", "weight_decay", "warmup") if phases else ():
            if name in self.model_fields_set:
                raise InvalidSpecError(f"Each phase has its own {name}: leave this one out.", field=f"train.{name}")
        return phases


class CaptureSpec(Frozen):
    """When the probe set is embedded."""

    frames: Annotated[int, Field(ge=2, le=600, description="Checkpoints, the untrained model included.")] = 60
    spacing: Annotated[
        Literal["even", "log", "drift"],
        Field(
            description="log: many early checkpoints, few late ones; drift: a few images are watched, and a checkpoint "
            "is captured when they have moved enough, so that few are spent where nothing moves."
        ),
    ] = "even"
    probe_size: Annotated[int, Field(ge=3, le=100_000, description="Images that are embedded.")] = 1000
    mode: Annotated[
        Literal["inline", "offload"],
        Field(description="inline: during training; offload: each checkpoint stored, then embedded by any worker."),
    ] = "inline"


class ScoreSpec(Frozen):
    """How outliers are scored."""

    method: Literal["knn_distance"] = "knn_distance"
    k: Annotated[int, Field(ge=1, le=1000, description="Nearest neighbours.")] = 10


class ProjectSpec(Frozen):
    """How D features become two."""

    method: Annotated[str, one_of(LAYOUTS), Field(description=describe(LAYOUTS))] = "smooth_pca"
    smoothing: Annotated[float | None, Field(ge=0, le=600, description=describe_option("smoothing"))] = None
    neighbors: Annotated[int, Field(ge=2, le=200, description=describe_option("neighbors"))] = 30
    seed: Annotated[int, Field(ge=0, lt=2**32, description=describe_option("seed"))] = 0


class AlignSpec(Frozen):
    """How the frames are kept still against each other."""

    method: Annotated[str, one_of(ALIGNMENTS), Field(description=describe(ALIGNMENTS))] = RIGID
    reference: Literal["last", "previous", "first"] = "last"
    trim: Annotated[
        float, Field(ge=0, le=0.5, description="rigid: share of the points that fit worst and have no say.")
    ] = 0.1


SMALLEST_SIDE = 320


class RenderSpec(Frozen):
    """How the frames are drawn."""

    width: Annotated[int, Field(ge=SMALLEST_SIDE, le=2160, description="Pixels.")] = 960
    height: Annotated[int, Field(ge=SMALLEST_SIDE, le=2160, description="Pixels.")] = 960
    fps: Annotated[int, Field(ge=1, le=50, description="Frames a second.")] = 12
    theme: Literal["light", "dark"] = "light"
    tween: Annotated[
        int, Field(ge=0, le=12, description="Frames drawn between two checkpoints; points ease from one to the other.")
    ] = 0
    captions: Annotated[bool, Field(description="Highlights are told as they happen.")] = True
    card: Annotated[bool, Field(description="How far the film can be trusted, as a panel in it.")] = False
    formats: Annotated[
        tuple[Annotated[str, one_of(FORMATS)], ...],
        Field(max_length=len(FORMATS), description="A GIF is always made."),
    ] = (GIF,)
    max_bytes: Annotated[
        int | None,
        Field(ge=10_000, description="Of the GIF; frames between checkpoints, then size are given up for it."),
    ] = None
    leaderboard: Annotated[int, Field(ge=0, le=12, description="Worst outliers shown.")] = 8
    trails: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        Field(
            max_length=12,
            description="Probe images whose way through the plot is drawn, by their `image` in the outliers.",
        ),
    ] = ()


class PinnedSources(Frozen):
    """What the dataset and the model were when the run was accepted, so that equal specs mean equal results."""

    dataset_digest: str
    model_revision: str | None = None


class RunSpec(Frozen):
    """A run, complete: no default is left open.

    A comparison is a run that draws what others have made, and learns nothing: its sections, but for `render`, are
    those of the first of them; `capture.frames` is of the longest.
    """

    name: Annotated[str, Field(min_length=1, max_length=120)]
    dataset: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
    model: Annotated[str, Field(min_length=1, max_length=200)] = "vit-tiny"
    train: TrainSpec = TrainSpec()
    capture: CaptureSpec = CaptureSpec()
    score: ScoreSpec = ScoreSpec()
    project: ProjectSpec = ProjectSpec()
    align: AlignSpec = AlignSpec()
    render: RenderSpec = RenderSpec()
    pinned: PinnedSources
    compared: Annotated[
        "tuple[ComparedRun, ...]", Field(description="Of a comparison, the runs that it shows; of any other, none.")
    ] = ()


class ComparedRun(Frozen):
    """A run that a comparison shows, as it was when that was asked for."""

    run: str
    spec: RunSpec


class DatasetFacts(Frozen):
    """What a spec must know of its dataset."""

    digest: str
    class_names: tuple[str, ...]
    train_size: int
    evaluation_size: int
