import math

import pytest
from pydantic import ValidationError

from core.domain.fitting import refuse_few_frames, refuse_unfit_phases
from core.domain.models import layer_decay_of, usual_layer_decay
from core.domain.phases import LayerDecay, Phase, learning_rate_factor, two_phases
from core.domain.plan import build
from core.domain.schedule import candidate_steps, capture_steps
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.errors import InvalidSpecError

HALVES = LayerDecay(kind="exponential", factor=0.5)


def settled(n_images: int | None = 1000, **fields: object) -> TrainSpec:
    return TrainSpec.model_validate(fields).settled(n_images=n_images, decay=HALVES)


def test_without_phases_the_recipe_is_the_only_one() -> None:
    spec = settled(steps=40, learning_rate=0.1, weight_decay=0.2, warmup=0.3)
    (span,) = spec.phase_spans
    phase = span.phase
    assert spec.phases == ()
    assert (phase.trainable, phase.steps, phase.learning_rate) == ("all", 40, 0.1)
    assert (phase.weight_decay, phase.warmup, phase.schedule, phase.optimizer) == (0.2, 0.3, "cosine", "adamw")
    assert settled(recipe="head_only").phase_spans[0].phase.trainable == "head"
    assert spec.phase_ends == (40,)


def test_two_phase__is_the_guide() -> None:
    """16 epochs of the head at 1e-3, and 8 epochs of all layers at 1e-4. 1,000 images in steps of 64 are 16 steps a
    pass.
    """
    spec = settled(recipe="two_phase")
    first, second = spec.phases
    assert (first.trainable, first.steps, first.learning_rate, first.layer_decay) == ("head", 16 * 16, 1e-3, None)
    assert (second.trainable, second.steps, second.learning_rate, second.layer_decay) == ("all", 8 * 16, 1e-4, HALVES)
    assert {phase.optimizer for phase in spec.phases} == {"adam"}
    assert (spec.steps, spec.phase_ends) == (24 * 16, (16 * 16, 24 * 16))


@pytest.mark.parametrize(
    ("model", "decay"),
    [
        ("vit-tiny", LayerDecay(kind="exponential", factor=0.75)),
        ("convnext-mini", LayerDecay(kind="exponential", factor=0.75)),
        ("resnet-tiny", LayerDecay(kind="exponential", factor=1 / 3)),
        ("microsoft/resnet-50", LayerDecay(kind="exponential", factor=1 / 3)),
        ("somebody/unknown", LayerDecay(kind="family")),
    ],
)
def test_two_phase__falls_as_the_family_wants(model: str, decay: LayerDecay) -> None:
    assert usual_layer_decay(model) == decay
    assert two_phases(decay)[1].layer_decay == decay


def test_two_phase__of_a_trained_model_falls_as_its_family_wants() -> None:
    assert layer_decay_of("VGG16BNForImageClassification") == LayerDecay(kind="linear", floor=0.001)
    assert layer_decay_of("ResNetForImageClassification") == LayerDecay(kind="exponential", factor=1 / 3)
    assert layer_decay_of(None) == layer_decay_of("SomethingElse") == LayerDecay(kind="family")


def test_family_decay__is_stored_in_the_spec() -> None:
    phases = [{"name": "a", "steps": 1, "layer_decay": {"kind": "family"}}]
    assert settled(phases=phases).phases[0].layer_decay == HALVES


def test_every_phase_has_frames_of_its_own() -> None:
    train = settled(phases=[{"name": "a", "steps": 5}, {"name": "b", "steps": 5}])
    refuse_few_frames(train, CaptureSpec(frames=3))
    with pytest.raises(InvalidSpecError, match="at least") as refused:
        refuse_few_frames(train, CaptureSpec(frames=2))
    assert refused.value.field == "capture.frames"


def test_drift__is_refused_for_a_head_alone() -> None:
    with pytest.raises(InvalidSpecError, match="do not change") as refused:
        refuse_few_frames(settled(recipe="head_only"), CaptureSpec(spacing="drift"))
    assert refused.value.field == "capture.spacing"


@pytest.mark.parametrize(
    ("phase", "field"),
    [
        ({"trainable": "last_n_blocks", "n_blocks": 6}, "train.phases.0.n_blocks"),
        ({"layer_decay": {"kind": "exponential", "factor": 0.01}}, "train.phases.0.layer_decay"),
    ],
)
def test_phases__more_blocks_than_the_model_has_are_refused(phase: dict[str, object], field: str) -> None:
    train = settled(phases=[{"name": "a", "steps": 5} | phase])
    refuse_unfit_phases(train, 60 if "n_blocks" in phase else 3)
    with pytest.raises(InvalidSpecError) as refused:
        refuse_unfit_phases(train, 6)
    assert refused.value.field == field


def test_epochs_become_steps_of_the_images_that_are_trained_on() -> None:
    phases = [{"name": "one", "epochs": 2}, {"name": "two", "epochs": 0.5}]
    given = {"phases": phases, "batch_size": 10, "gradient_accumulation": 2}
    assert [phase.steps for phase in settled(**given).phases] == [100, 25]
    assert [phase.steps for phase in settled(**given, train_size=105).phases] == [12, 3]
    assert settled(None, **given, train_size=105).steps == 15
    assert settled(phases=[{"name": "one", "epochs": 0.001}]).steps == 1


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"phases": [{"name": "a", "epochs": 1}], "n_images": None}, "train.phases.0.epochs", "Set `steps`"),
        ({"phases": [{"name": "a", "steps": 1}], "recipe": "two_phase"}, "train.recipe", "exclude each other"),
        ({"phases": [{"name": "a", "steps": 1}], "steps": 2}, "train.steps", "its own steps"),
        ({"phases": [{"name": "a", "steps": 1}] * 2}, "train.phases", "same name"),
        ({"recipe": "two_phase", "learning_rate": 0.1}, "train.learning_rate", "its own learning_rate"),
        ({"phases": [{"name": name, "steps": 600_000} for name in "ab"]}, "train.phases", "1200000 steps"),
        ({"phases": [{"name": "a", "epochs": 10_000}], "n_images": 10**9}, "train.phases", "at most 1000000 are"),
    ],
)
def test_phases__contradictions_are_refused(fields: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(InvalidSpecError, match=says) as refused:
        settled(**{"n_images": 1000} | fields)  # type: ignore[arg-type]
    assert refused.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 3, "epochs": 2},
        {},
        {"steps": 3, "trainable": "last_n_blocks"},
        {"steps": 3, "n_blocks": 2},
        {"steps": 3, "trainable": "head", "layer_decay": {"kind": "linear", "floor": 0.1}},
        {"steps": 3, "layer_decay": {"kind": "linear", "factor": 0.1}},
        {"steps": 3, "layer_decay": {"kind": "exponential"}},
        {"steps": 3, "layer_decay": {"kind": "family", "factor": 0.5}},
        {"steps": 3, "name": "two\nlines"},
        {"steps": 3, "layer_decay": {"kind": "exponential", "factor": 0.5, "floor": 0.5}},
        {"steps": 3, "layer_decay": {"kind": "exponential", "factor": 0}},
        {"steps": 3, "learning_rate": 0},
        {"steps": 0},
    ],
)
def test_a_phase_is_one_that_can_be_trained(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Phase.model_validate({"name": "a"} | fields)


def test_layer_decay__hand_cases() -> None:
    linear = LayerDecay(kind="linear", floor=0.001)
    assert [linear.multiplier(place, layers=3) for place in range(3)] == pytest.approx([0.001, 0.5005, 1.0])
    assert [HALVES.multiplier(place, layers=4) for place in range(4)] == [0.125, 0.25, 0.5, 1.0]
    assert linear.multiplier(0, layers=1) == 0.001


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_rate_factor__warm_up_then_schedule(schedule: str) -> None:
    found = [learning_rate_factor(step, steps=10, warmup=0.2, schedule=schedule) for step in range(1, 11)]  # type: ignore[arg-type]
    after = {
        "cosine": [(1 + math.cos(math.pi * part / 8)) / 2 for part in range(8)],
        "linear": [1 - part / 8 for part in range(8)],
        "constant": [1.0] * 8,
    }
    assert found == pytest.approx([1 / 3, 2 / 3, *after[schedule]])


def test_each_phase_has_a_rate_of_its_own() -> None:
    spec = settled(
        phases=[
            {"name": "a", "steps": 2, "learning_rate": 0.5, "schedule": "constant"},
            {"name": "b", "steps": 2, "learning_rate": 0.1, "schedule": "linear"},
        ]
    )
    assert spec.expected_drift() == pytest.approx([0.5, 0.5, 0.1, 0.05])
    still = spec.phases[0].model_copy(update={"trainable": "head"})
    assert spec.model_copy(update={"phases": (still, spec.phases[1])}).expected_drift() == pytest.approx(
        [5e-7, 5e-7, 0.1, 0.05]
    )


def run_with(train: TrainSpec, **capture: object) -> RunSpec:
    return RunSpec(
        name="a",
        dataset="digits",
        train=train,
        capture=CaptureSpec.model_validate(capture),
        pinned=PinnedSources(dataset_digest="x"),
    )


@pytest.mark.parametrize("spacing", ["even", "log", "drift"])
def test_the_end_of_each_phase_is_captured_or_may_be(spacing: str) -> None:
    train = settled(phases=[{"name": "a", "steps": 37}, {"name": "b", "steps": 30}, {"name": "c", "steps": 33}])
    steps = build(run_with(train, frames=11, spacing=spacing)).steps
    assert {0, 37, 67, 100} <= set(steps)
    assert len(steps) == 11 or spacing == "drift"


def test_capture_steps__include_required_steps_if_there_are_enough_frames() -> None:
    assert capture_steps(100, 5, through=[40, 60]) == (0, 25, 40, 60, 100)
    assert capture_steps(100, 3, through=[40, 60]) == (0, 40, 100)
    assert capture_steps(100, 2, through=[40]) == (0, 100)
    assert capture_steps(100, 5, through=[50]) == capture_steps(100, 5)
    assert 41 in candidate_steps(100, 3, through=[41])
