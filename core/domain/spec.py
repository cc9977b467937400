"""The spec of a run: `RunSpec`, complete and immutable.

Each section is used for the body of POST /v1/runs and for the stored spec, so each field, range and default is written
once. `core.domain.resolve` fills in what depends on the dataset before the spec is stored.
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
"""Expected drift of an update that trains only the head, relative to its learning rate. It is positive, so that the
expected drift of a training is never zero. Chosen by hand; not measured."""

MOST_IMAGES = 1_000_000_000
"""Upper limit of `train_size`. Chosen by hand: larger than any dataset that a worker can hold."""


class LoraSpec(Frozen):
    """Low-rank adapters (LoRA, arXiv:2106.09685), trained in place of the weights of linear layers and convolutions."""

    rank: Annotated[int, Field(ge=1, le=256, description="Rank of the product that is added to each weight.")] = 8
    alpha: Annotated[float, Field(gt=0, le=1024, description="The product is multiplied by alpha / rank.")] = 16.0
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout probability of an adapter's input.")] = 0.0


class EarlyStopping(Frozen):
    """Rule that ends the last phase before its last step."""

    patience: Annotated[
        int,
        Field(ge=1, description="Number of consecutive checkpoints without improvement after which the training ends."),
    ]
    min_delta: Annotated[
        float, Field(ge=0, description="Smallest decrease of the loss on the probe set that counts as an improvement.")
    ] = 0.0


class TrainSpec(Frozen):
    """How the model is trained.

    Without `phases`, the training has one phase. `recipe` names it, and the fields of this section are its values.
    """

    recipe: Annotated[
        Literal["fine_tune", "head_only", "two_phase"],
        Field(
            description="fine_tune: all layers are trained; head_only: only the head (linear probing); two_phase: the "
            "head for 16 epochs, then all layers for 8 epochs, with lower learning rates towards the input. `phases` "
            "replaces the recipe."
        ),
    ] = "fine_tune"
    phases: Annotated[
        tuple[Phase, ...],
        Field(max_length=8, description="Consecutive phases. `steps` is then the sum of their steps."),
    ] = ()
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS, description="Number of optimiser steps.")] = 300
    batch_size: Annotated[int, Field(ge=1, le=4096, description="Number of images of a forward pass.")] = 64
    gradient_accumulation: Annotated[int, Field(ge=1, le=256, description="Number of forward passes of a step.")] = 1
    learning_rate: Annotated[float, Field(gt=0, le=10, description="Peak learning rate of AdamW.")] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1, description="Weight decay of AdamW.")] = 0.05
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="Fraction of the steps with a linear warm-up; cosine decay follows.")
    ] = 0.1
    clip_norm: Annotated[float, Field(gt=0, description="Gradients are clipped to this global norm.")] = 1.0
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="auto: bf16 on CUDA, fp32 on a CPU.")] = (
        "auto"
    )
    train_size: Annotated[
        int | None,
        Field(ge=2, le=MOST_IMAGES, description="Number of training images, stratified by class; null: all images."),
    ] = None
    augment: AugmentSpec = AugmentSpec()
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Fraction of each label that is spread evenly over all classes.")
    ] = 0.0
    lora: Annotated[
        LoraSpec | None,
        Field(
            description="null: all weights of a trained block are trained. Otherwise low-rank adapters are trained in "
            "their place, and the head in full. `{}` uses the defaults. The worker needs peft."
        ),
    ] = None
    early_stopping: Annotated[
        EarlyStopping | None,
        Field(description="Rule that ends the last phase early; null: the phase ends at its last step."),
    ] = None
    log_every: Annotated[int, Field(ge=1, description="Number of steps between two rows of the log.")] = 1
    keep_weights: Annotated[
        Literal["none", "last", "all"], Field(description="Checkpoints whose weights are kept as safetensors.")
    ] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**32, description="Seed of all random numbers of the training.")] = 0

    @property
    def phase_spans(self) -> tuple[PhaseSpan, ...]:
        """The phases with their positions. Without `phases` there is one."""
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
        """For each phase, the step before it and its name."""
        return tuple((span.before, span.phase.name) for span in self.phase_spans)

    @property
    def head_alone(self) -> bool:
        """True if only the head is trained, in all phases."""
        return all(span.phase.trainable == "head" for span in self.phase_spans)

    def expected_drift(self) -> list[float]:
        """Return the expected drift of the embeddings at each update, in the unit of the learning rate.

        It is the learning rate of the update. If only the head is trained, it is _STILL times the learning rate.
        """
        return [
            span.rate(step) * (_STILL if span.phase.trainable == "head" else 1.0)
            for span in self.phase_spans
            for step in range(span.before + 1, span.last + 1)
        ]

    def settled(self, *, n_images: int | None, decay: LayerDecay) -> "TrainSpec":
        """Return the section with the length of each phase in steps, and `steps` as their sum.

        Args:
            n_images: number of images of the training split; None if it is unknown.
            decay: decay of the learning rate towards the input, for the recipe "two_phase" and the kind "family".

        Raises:
            InvalidSpecError: fields contradict each other, or the length of an epoch is unknown.
        """
        phases = self._phases(decay)
        if not phases:
            return self
        per_step, n_images = self.batch_size * self.gradient_accumulation, self.train_size or n_images
        settled = tuple(
            phase.with_family_decay(decay).in_steps(
                n_images=n_images, images_a_step=per_step, field=f"train.phases.{place}"
            )
            for place, phase in enumerate(phases)
        )
        steps = phase_spans(settled)[-1].last
        if steps > MAX_STEPS:
            raise InvalidSpecError(
                f"The phases have {steps} steps together, but at most {MAX_STEPS} are allowed. Shorten them.",
                field="train.phases",
            )
        return self.model_copy(update={"phases": settled, "steps": steps})

    def _phases(self, decay: LayerDecay) -> tuple[Phase, ...]:
        if self.phases and self.recipe != "fine_tune":
            raise InvalidSpecError("`recipe` and `phases` exclude each other. Leave one out.", field="train.recipe")
        phases = two_phases(decay) if self.recipe == "two_phase" else self.phases
        if len({phase.name for phase in phases}) < len(phases):
            raise InvalidSpecError("Two phases have the same name. Give each phase its own name.", field="train.phases")
        for name in ("steps", "learning_rate", "weight_decay", "warmup") if phases else ():
            if name in self.model_fields_set:
                raise InvalidSpecError(f"Each phase has its own {name}. Leave this one out.", field=f"train.{name}")
        return phases


class CaptureSpec(Frozen):
    """When the probe set is embedded, and how."""

    frames: Annotated[int, Field(ge=2, le=600, description="Number of checkpoints, including the untrained model.")] = (
        60
    )
    spacing: Annotated[
        Literal["even", "log", "drift"],
        Field(
            description="even: equal numbers of steps between checkpoints; log: many early and few late checkpoints; "
            "drift: a checkpoint is captured when the embeddings of a few images have moved far enough."
        ),
    ] = "even"
    probe_size: Annotated[
        int, Field(ge=3, le=100_000, description="Number of probe images, which are embedded at each checkpoint.")
    ] = 1000
    mode: Annotated[
        Literal["inline", "offload"],
        Field(
            description="inline: the training embeds the probe set; offload: each checkpoint is stored, and any worker "
            "embeds the probe set."
        ),
    ] = "inline"


class ScoreSpec(Frozen):
    """How outliers are scored."""

    method: Literal["knn_distance"] = "knn_distance"
    k: Annotated[int, Field(ge=1, le=1000, description="Number of nearest neighbours.")] = 10


class ProjectSpec(Frozen):
    """How embeddings (N, D) are projected to points (N, 2)."""

    method: Annotated[str, one_of(LAYOUTS), Field(description=describe(LAYOUTS))] = "smooth_pca"
    smoothing: Annotated[float | None, Field(ge=0, le=600, description=describe_option("smoothing"))] = None
    neighbors: Annotated[int, Field(ge=2, le=200, description=describe_option("neighbors"))] = 30
    seed: Annotated[int, Field(ge=0, lt=2**32, description=describe_option("seed"))] = 0


class AlignSpec(Frozen):
    """How the frames are aligned with each other."""

    method: Annotated[str, one_of(ALIGNMENTS), Field(description=describe(ALIGNMENTS))] = RIGID
    reference: Annotated[
        Literal["last", "previous", "first"], Field(description="The frame that each frame is aligned to.")
    ] = "last"
    trim: Annotated[
        float,
        Field(
            ge=0, le=0.5, description="rigid: fraction of the points with the largest residuals that the fit ignores."
        ),
    ] = 0.1


SMALLEST_SIDE = 320
"""Smallest side of a film, pixels. Chosen by hand: smaller panels are not legible."""


class RenderSpec(Frozen):
    """How the frames are drawn."""

    width: Annotated[int, Field(ge=SMALLEST_SIDE, le=2160, description="Pixels.")] = 960
    height: Annotated[int, Field(ge=SMALLEST_SIDE, le=2160, description="Pixels.")] = 960
    fps: Annotated[int, Field(ge=1, le=50, description="Frames per second.")] = 12
    theme: Literal["light", "dark"] = "light"
    tween: Annotated[int, Field(ge=0, le=12, description="Number of interpolated frames between two checkpoints.")] = 0
    captions: Annotated[bool, Field(description="Show highlights as captions.")] = True
    card: Annotated[bool, Field(description="Show the quality card as a panel.")] = False
    formats: Annotated[
        tuple[Annotated[str, one_of(FORMATS)], ...],
        Field(max_length=len(FORMATS), description="Formats of the film. A GIF is always written."),
    ] = (GIF,)
    max_bytes: Annotated[
        int | None,
        Field(
            ge=10_000,
            description="Largest size of the GIF, bytes. If necessary, interpolated frames are left out and the sides "
            "are reduced.",
        ),
    ] = None
    leaderboard: Annotated[int, Field(ge=0, le=12, description="Number of outliers in the leaderboard.")] = 8
    trails: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        Field(
            max_length=12,
            description="Probe images whose trails are drawn. `image` in the outliers is the number of an image.",
        ),
    ] = ()


class PinnedSources(Frozen):
    """Versions of the dataset and the model when the run was accepted. So equal specs have equal results."""

    dataset_digest: str
    model_revision: str | None = None


class RunSpec(Frozen):
    """The complete spec of a run, with all defaults resolved.

    A comparison is a run that draws artifacts of other runs and trains nothing. Its sections except `render` are copies
    of the sections of the first compared run, and `capture.frames` is the largest number of all compared runs.
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
        "tuple[ComparedRun, ...]", Field(description="The compared runs of a comparison; empty for other runs.")
    ] = ()


class ComparedRun(Frozen):
    """A compared run, with its spec when the comparison was accepted."""

    run: str
    spec: RunSpec


class DatasetFacts(Frozen):
    """Facts of a dataset that decide defaults and limits of a spec."""

    digest: str
    class_names: tuple[str, ...]
    train_size: int
    evaluation_size: int
