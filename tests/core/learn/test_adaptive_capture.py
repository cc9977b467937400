"""Checkpoints are selected by the drift of a few images."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from core.domain.phases import rate_factor
from core.domain.schedule import candidate_steps
from core.domain.spec import TrainSpec
from core.errors import TrainingDivergedError, UnusableStateError
from core.learn.adaptive_capture import AdaptiveCapture
from core.learn.drift_schedule import DriftSchedule
from core.learn.embed import weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.learn.training_state import StoredState
from tests.core.learn.small_training import Saving, backbone, blobs, together

STEPS, FRAMES = 60, 6
SPEC = TrainSpec(steps=STEPS, batch_size=16, log_every=7, seed=3)
CANDIDATES = candidate_steps(STEPS, FRAMES)


def choose(moved: Sequence[float], frames: int, *, rates: Sequence[float] | None = None) -> list[int]:
    schedule = DriftSchedule([1.0] * len(moved) if rates is None else rates, frames)
    for one in moved:
        schedule.selects(one)
    return schedule.selected


def longest(moved: Sequence[float], captured: Sequence[int]) -> float:
    """The longest way between two captures, by the mean one; 1 is best."""
    way = np.concatenate([[0.0], np.cumsum(moved)])[list(captured)]
    return float(np.diff(way).max() / np.diff(way).mean())


movements = st.lists(st.floats(0, 1e6), min_size=1, max_size=80)


@given(movements, st.data())
def test_it_chooses_as_many_as_asked__the_first_and_the_last_among_them(
    moved: list[float], data: st.DataObject
) -> None:
    frames = data.draw(st.integers(2, len(moved) + 1))
    captured = choose(moved, frames)
    assert (captured[0], captured[-1], len(captured)) == (0, len(moved), frames)
    assert all(before < after for before, after in pairwise(captured))


@given(movements, st.data())
def test_a_schedule_that_is_restored_chooses_as_one_that_was_never_stopped(
    moved: list[float], data: st.DataObject
) -> None:
    frames, stop = data.draw(st.integers(2, len(moved) + 1)), data.draw(st.integers(0, len(moved)))
    first, second = DriftSchedule([1.0] * len(moved), frames), DriftSchedule([1.0] * len(moved), frames)
    for one in moved[:stop]:
        first.selects(one)
    second.restore(first.movements, first.selected)
    for one in moved[stop:]:
        second.selects(one)
    assert second.selected == choose(moved, frames)


FADING = [rate_factor(step, steps=240, warmup=0.1) for step in range(1, 241)]


@pytest.mark.parametrize(
    ("moved", "rates"),
    [
        pytest.param((1 / (1 + np.arange(240) / 10)).tolist(), None, id="a burst that dies away"),
        pytest.param(FADING, FADING, id="a movement that follows the learning rate"),
        pytest.param(
            (0.05 + np.exp(-0.5 * ((np.arange(240) - 90) / 12) ** 2)).tolist(), None, id="a jump in the middle"
        ),
    ],
)
def test_what_moves_gets_the_frames(moved: list[float], rates: list[float] | None) -> None:
    even = np.linspace(0, 240, 41).round().astype(int).tolist()
    assert longest(moved, choose(moved, 41, rates=rates)) < 0.85 * longest(moved, even)


def test_a_plateau_gets_few_frames_but_never_none() -> None:
    rates = [1.0] * 120 + [0.001] * 120
    on_plateau = sum(index > 120 for index in choose(rates, 41, rates=rates))
    assert 4 <= on_plateau <= 12  # evenly spaced it would have 20


def test_what_nobody_could_foresee_is_filmed_too() -> None:
    moved = [1.0] * 60 + [0.001] * 120 + [1.0] * 60
    captured = choose(moved, 41, rates=[1.0] * 60 + [0.001] * 180)
    assert sum(index > 180 for index in captured) >= 3


def test_what_does_not_move_at_all_gets_no_more_than_its_share() -> None:
    captured = choose([0.0] * 30 + [1.0] * 210, 41)
    assert sum(index <= 30 for index in captured) <= 3
    assert choose([0.0] * 20, 5)[-1] == 20


def adaptive_capture(model: object) -> AdaptiveCapture:
    accelerator = Accelerator(mixed_precision="no")
    images = ImagesOnDevice(blobs(12, seed=5), model, device=torch.device("cpu"))
    return AdaptiveCapture(model, images, candidates=CANDIDATES, frames=FRAMES, spec=SPEC, accelerator=accelerator)


class Trained:
    """A training whose checkpoints its drift has chosen; each pause leaves a state in `folder`."""

    def __init__(self, folder: Path | None = None, *, resume: Path | None = None, seed: int = 0) -> None:
        self.model = backbone(dropout=0.2, seed=seed)
        watched = adaptive_capture(self.model)
        options = {}
        if resume:
            options["resume_from"] = StoredState.load(resume)

        found = fine_tune(
            self.model,
            blobs(40),
            spec=SPEC,
            capture_steps=CANDIDATES,
            hooks=[watched, Saving(folder)],
            accelerator=Accelerator(mixed_precision="no"),
            **options,
        )
        self.checkpoints = [(one.index, one.step, weights_sha256(self.model.model)) for one in found]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(scope="module")
def undisturbed(states: Path) -> Trained:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    trained = Trained(states)
    torch.set_num_threads(before)
    return trained


def test_a_training_is_captured_as_often_as_asked(undisturbed: Trained) -> None:
    indices, steps, _ = zip(*undisturbed.checkpoints, strict=True)
    assert indices == tuple(range(FRAMES))
    assert (steps[0], steps[-1]) == (0, STEPS)
    assert set(steps) <= set(CANDIDATES)
    assert steps != tuple(np.linspace(0, STEPS, FRAMES).round().astype(int))


def test_watching_changes_nothing_of_what_is_learned(undisturbed: Trained) -> None:
    plain = backbone(dropout=0.2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    list(fine_tune(plain, blobs(40), spec=SPEC, capture_steps=(0, STEPS)))
    torch.set_num_threads(before)
    assert weights_sha256(plain.model) == undisturbed.checkpoints[-1][2]


def test_a_resumed_training_captures_the_same_steps(undisturbed: Trained, states: Path) -> None:
    pauses = sorted(int(folder.name) for folder in states.iterdir())
    assert len(pauses) > FRAMES  # some of them are between two captures
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for step in pauses:
        resumed = Trained(resume=states / str(step), seed=9)
        assert resumed.checkpoints == [one for one in undisturbed.checkpoints if one[1] > step]
    torch.set_num_threads(before)


def test_a_training_that_diverges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone()
    calls = iter(range(1000))
    model.head.register_forward_hook(lambda _head, _given, logits: logits * (np.nan if next(calls) > 8 else 1.0))
    with pytest.raises(TrainingDivergedError):
        list(fine_tune(model, blobs(40), spec=SPEC, capture_steps=CANDIDATES, hooks=[adaptive_capture(model)]))


def train_together(path: Path) -> None:
    """Train with the other processes; write down what was captured."""
    torch.set_num_threads(1)
    path.write_text(repr([(index, step) for index, step, _ in Trained().checkpoints]))


def test_several_processes_capture_the_same_steps(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.txt" for rank in range(2)]
    with together("tests.core.learn.test_adaptive_capture", "train_together", paths):
        pass
    first, second = (path.read_text() for path in paths)
    assert first == second
    assert first.count("(") == FRAMES


def test_a_state_that_does_not_say_what_was_captured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableStateError, match="which checkpoints were captured"):
        adaptive_capture(backbone()).restore(tmp_path)
    (tmp_path / "pacer.safetensors").write_bytes(b"torn")
    with pytest.raises(UnusableStateError, match="train from the beginning"):
        adaptive_capture(backbone()).restore(tmp_path)


@pytest.mark.parametrize("moves", [0.0, 1.0])
def test_what_is_always_captured__is_so_however_little_or_much_moves(moves: float) -> None:
    schedule = DriftSchedule([1.0] * 20, 5, always=[7, 13])
    taken = [0] + [number for number in range(1, 21) if schedule.selects(moves)]
    assert {0, 7, 13, 20} <= set(taken)
    assert len(taken) == 5 == len(schedule.selected)


def test_too_few_frames_for_what_is_always_captured() -> None:
    with pytest.raises(ValueError, match="too few"):
        DriftSchedule([1.0] * 20, 3, always=[7, 13])
    exact = DriftSchedule([1.0] * 20, 4, always=[7, 13])
    assert [number for number in range(1, 21) if exact.selects(1.0)] == [7, 13, 20]
