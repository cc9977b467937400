"""Early stopping: the rule by hand, and trainings that it ends."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from core.domain.spec import EarlyStopping, TrainSpec
from core.errors import UnusableStateError
from core.learn.early_stopping import EarlyStoppingHook
from core.learn.embed import embed, weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.learn.training_log import LogRows
from core.learn.training_state import StoredState
from tests.core.learn.small_training import Saving, backbone, blobs, together

STEPS = tuple(range(0, 61, 6))
SPEC = TrainSpec(steps=60, batch_size=16, seed=3)
NEVER = EarlyStopping(patience=99)


def stopping(*, after: int = 0, **rule: float) -> EarlyStoppingHook:
    return EarlyStoppingHook(
        EarlyStopping.model_validate(rule), after=after, accelerator=Accelerator(mixed_precision="no")
    )


def stops_at(losses: list[float], **rule: float) -> int | None:
    """Return the number of the last evaluation, counted from 1, or None if the training continues."""
    hook = stopping(**rule)
    return next((number for number, loss in enumerate(losses, start=1) if hook.record_loss(number, loss)), None)


@pytest.mark.parametrize(
    ("losses", "rule", "last"),
    [
        pytest.param([3, 2, 1, 0.5], {"patience": 1}, None, id="it falls all the time"),
        pytest.param([3, 2, 2], {"patience": 1}, 3, id="no change is no improvement"),
        pytest.param([3, 2, 2.5, 1.9, 2, 1.8], {"patience": 2}, None, id="it recovers in time"),
        pytest.param([3, 2, 2.5, 2.1, 1], {"patience": 2}, 4, id="better than the one before, not than the best"),
        pytest.param([3, 3, 3, 3, 3], {"patience": 3}, 4, id="the first one sets the best"),
        pytest.param([3, 2.75, 2.5, 2.25], {"patience": 1, "min_delta": 0.25}, 2, id="by min_delta is not by more"),
        pytest.param(
            [3, 2.75, 2.5, 2.75], {"patience": 2, "min_delta": 0.25}, None, id="small gains add up against the best"
        ),
        pytest.param([3, 2.9, 2.8, 2.7], {"patience": 3, "min_delta": 0.5}, 4, id="and may never add up to enough"),
        pytest.param([math.nan, math.inf, 2, 1], {"patience": 3}, None, id="what is no number is no best"),
        pytest.param([2, math.nan, math.inf], {"patience": 2}, 3, id="what is no number is no improvement"),
    ],
)
def test_record_loss__by_hand(losses: list[float], rule: dict[str, float], last: int | None) -> None:
    assert stops_at(losses, **rule) == last


def test_record_loss__nothing_counts_before_the_last_phase() -> None:
    hook = stopping(after=3, patience=1)
    assert [hook.record_loss(step, loss) for step, loss in enumerate([1.0, 1.0, 0.1, 0.1, 2.0, 1.5, 1.5])] == [
        False
    ] * 6 + [True]


losses_heard = st.lists(st.floats(0, 10) | st.just(math.inf), min_size=1, max_size=30)


@given(losses_heard, st.data())
def test_restore__continues_like_an_uninterrupted_hook(
    tmp_path_factory: pytest.TempPathFactory, losses: list[float], data: st.DataObject
) -> None:
    rule = {"patience": data.draw(st.integers(1, 5)), "min_delta": data.draw(st.sampled_from([0.0, 0.5]))}
    stop, folder = data.draw(st.integers(0, len(losses))), tmp_path_factory.mktemp("state")
    whole, first, second = (stopping(**rule) for _ in range(3))
    for step, loss in enumerate(losses[:stop], start=1):
        first.record_loss(step, loss)
        whole.record_loss(step, loss)
    first.save(folder)
    second.restore(folder)
    assert second.ended == whole.ended
    later = list(enumerate(losses[stop:], start=stop + 1))
    assert [second.record_loss(*one) for one in later] == [whole.record_loss(*one) for one in later]


@pytest.mark.parametrize("torn", [None, "", "[]", "{}", '{"best": 1, "waited": null}'])
def test_restore__refuses_a_state_without_evaluation_losses(tmp_path: Path, torn: str | None) -> None:
    if torn is not None:
        (tmp_path / "stopper.json").write_text(torn)
    with pytest.raises(UnusableStateError, match=r"no readable evaluation losses .* train from the beginning"):
        stopping(patience=1).restore(tmp_path)


class Trained:
    """A training that may end early, by the loss on separate images. Each pause saves a state in `folder`."""

    def __init__(
        self, rule: EarlyStopping | None, folder: Path | None = None, *, resume: Path | None = None, seed: int = 0
    ) -> None:
        self.model = backbone(dropout=0.2, seed=seed)
        accelerator = Accelerator(mixed_precision="no")
        stops = EarlyStoppingHook(rule, after=0, accelerator=accelerator) if rule else None
        options = {}
        if resume and stops:
            options["resume_from"] = StoredState.load(resume)

        # Labels are random, so the loss on other images soon rises.
        data = blobs(40)
        data = type(data)(data.images, np.random.default_rng(1).permutation(data.labels))
        probe = ImagesOnDevice(blobs(30, seed=5), self.model, device=accelerator.device)
        found = fine_tune(
            self.model,
            data,
            spec=SPEC,
            capture_steps=STEPS,
            hooks=[stops, Saving(folder)] if stops else [],
            accelerator=accelerator,
            **options,
        )
        self.checkpoints: list[tuple[int, str]] = []
        self.losses: list[float] = []
        logs = []
        for one in found:
            loss = embed(self.model, probe, step=one.step, epoch=one.epoch).loss
            if stops and accelerator.is_main_process:
                stops.record_loss(one.step, loss)
            self.checkpoints.append((one.step, weights_sha256(self.model.model)))
            self.losses.append(loss)
            logs.append(one.log)
        self.log = LogRows.joined(logs).table
        self.ended_with = weights_sha256(self.model.model)

    @property
    def steps(self) -> list[int]:
        return [step for step, _ in self.checkpoints]


RULE = EarlyStopping(patience=2)


@pytest.fixture(scope="module")
def whole() -> Trained:
    """The training without early stopping."""
    return Trained(None)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def stopped(states: Path) -> Trained:
    return Trained(RULE, states)


def test_fine_tune__ends_at_the_step_of_the_rule_and_is_unchanged_before(whole: Trained, stopped: Trained) -> None:
    last = stops_at(whole.losses[1:], patience=2)
    assert last is not None
    assert 2 < last < len(STEPS) - 1
    assert stopped.checkpoints == whole.checkpoints[: last + 1]
    np.testing.assert_array_equal(stopped.log, whole.log[: stopped.steps[-1] + 1])
    assert stopped.ended_with == stopped.checkpoints[-1][1]


def test_fine_tune__a_rule_that_never_applies_changes_nothing(whole: Trained) -> None:
    patient = Trained(NEVER)
    assert patient.checkpoints == whole.checkpoints
    assert patient.losses == whole.losses
    np.testing.assert_array_equal(patient.log, whole.log)


def test_fine_tune__resumed_ends_at_the_same_step(stopped: Trained, states: Path) -> None:
    pauses = sorted(int(folder.name) for folder in states.iterdir())
    assert pauses[-1] == stopped.steps[-1]
    assert 25 in pauses or stopped.steps[-1] < 25
    for step in pauses:
        resumed = Trained(RULE, resume=states / str(step), seed=9)
        assert resumed.checkpoints == [one for one in stopped.checkpoints if one[0] > step]
        assert resumed.ended_with == stopped.ended_with


def train_together(path: Path) -> None:
    """Train with the other processes, then resume from the last state. Writes the captured steps."""
    states = path.parent / "states"
    trained = Trained(RULE, states)
    Accelerator(mixed_precision="no").wait_for_everyone()
    before = trained.steps[-2]
    resumed = [Trained(RULE, resume=states / str(step), seed=9).steps for step in (before, trained.steps[-1])]
    path.write_text(json.dumps([trained.steps, resumed]))


def test_fine_tune__several_processes_end_at_the_same_step(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.txt" for rank in range(2)]
    with together("tests.core.learn.test_early_stopping", "train_together", paths):
        pass
    first, second = (path.read_text() for path in paths)
    assert first == second
    steps, resumed = json.loads(first)
    assert 2 < len(steps) < len(STEPS)
    assert resumed == [steps[-1:], []]
