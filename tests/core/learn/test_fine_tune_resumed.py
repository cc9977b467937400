"""A training that resumes from a stored state ends like an uninterrupted training."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from core.domain.spec import TrainSpec
from core.errors import TrainingDivergedError, UnusableStateError
from core.learn.backbones import Backbone
from core.learn.embed import weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint
from core.learn.training_log import LogRows
from core.learn.training_state import LiveState, StoredState
from tests.core.learn.small_training import Hook, Saving, backbone, blobs, together

# 23 images in steps of 4 x 2: each pass has three steps of 8, 8 and 7 images.
DATA = blobs(23)
SPEC = TrainSpec(steps=80, batch_size=4, gradient_accumulation=2, log_every=4, seed=3)
CAPTURED = (0, 5, 30, 76)
PAUSES = [0, 5, 25, 30, 50, 75, 76]


@dataclass
class Trained:
    """The result of a training, with the hash of the live weights at each checkpoint."""

    model: Backbone
    checkpoints: list[Checkpoint]
    hashes: dict[int, str]

    @property
    def log(self) -> np.ndarray:
        return LogRows.joined([checkpoint.log for checkpoint in self.checkpoints]).table


def train(
    *, seed: int = 0, layers: int = 2, steps: tuple[int, ...] = CAPTURED, spec: TrainSpec = SPEC, **options
) -> Trained:
    trained = Trained(backbone(dropout=0.2, seed=seed, width=16, layers=layers), [], {})
    for checkpoint in fine_tune(trained.model, DATA, spec=spec, capture_steps=steps, **options):
        trained.checkpoints.append(checkpoint)
        trained.hashes[checkpoint.step] = weights_sha256(trained.model.model)
    return trained


@pytest.fixture(scope="module")
def undisturbed() -> Trained:
    return train()


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the state of every pause."""
    folder = tmp_path_factory.mktemp("states")
    train(hooks=[Saving(folder)])
    return folder


def test_saving__changes_nothing(undisturbed: Trained, tmp_path: Path) -> None:
    saving = train(hooks=[Saving(tmp_path)])
    assert saving.hashes == undisturbed.hashes
    np.testing.assert_array_equal(saving.log, undisturbed.log)
    assert sorted(int(folder.name) for folder in tmp_path.iterdir()) == PAUSES


def test_the_test__depends_on_dropout_and_on_the_order_of_the_images(undisturbed: Trained) -> None:
    still = backbone(width=16, layers=2)
    list(fine_tune(still, DATA, spec=SPEC, capture_steps=CAPTURED))
    assert weights_sha256(still.model) != undisturbed.hashes[76]
    assert train(spec=SPEC.model_copy(update={"seed": 4})).hashes[76] != undisturbed.hashes[76]


@pytest.mark.parametrize("step", PAUSES)
def test_resumed__ends_with_the_same_weights_and_log(undisturbed: Trained, states: Path, step: int) -> None:
    stored = StoredState.load(states / str(step))
    steps, paused = [], []
    resumed = train(
        seed=9, resume_from=stored, hooks=[Hook(on_step=steps.append, on_pause=lambda state: paused.append(state.step))]
    )
    later = [known for known in CAPTURED if known > step]
    assert weights_sha256(resumed.model.model) == undisturbed.hashes[76]
    assert resumed.hashes == {known: undisturbed.hashes[known] for known in later}
    assert [checkpoint.index for checkpoint in resumed.checkpoints] == [CAPTURED.index(known) for known in later]
    again = {one.step: one.epoch for one in resumed.checkpoints}
    assert again == {one.step: one.epoch for one in undisturbed.checkpoints if one.step > step}
    log = LogRows.joined([stored.log, *(checkpoint.log for checkpoint in resumed.checkpoints)])
    np.testing.assert_array_equal(log.table, undisturbed.log)
    assert steps == list(range(step + 1, 77))
    assert paused == [known for known in PAUSES if known > step]


def test_resumed__again_and_again(undisturbed: Trained, states: Path, tmp_path: Path) -> None:
    folder = states / "5"
    for stop in (25, 30, 50):

        def save_and_die(state: LiveState, stop: int = stop) -> None:
            if state.step == stop:
                state.save(tmp_path / str(stop))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(seed=stop, resume_from=StoredState.load(folder), hooks=[Hook(on_pause=save_and_die)])
        folder = tmp_path / str(stop)
    stored = StoredState.load(folder)
    resumed = train(seed=1, resume_from=stored)
    assert resumed.hashes[76] == undisturbed.hashes[76]
    np.testing.assert_array_equal(LogRows.joined([stored.log, resumed.checkpoints[0].log]).table, undisturbed.log)


def test_resumed__leaves_the_random_state_of_others_alone_and_does_not_depend_on_it(states: Path) -> None:
    hashes = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = backbone(dropout=0.2, width=16, layers=2)
        before = torch.get_rng_state()
        resume_from = StoredState.load(states / "50")
        list(fine_tune(model, DATA, spec=SPEC, capture_steps=CAPTURED, resume_from=resume_from))
        assert torch.equal(torch.get_rng_state(), before)
        hashes.add(weights_sha256(model.model))
    assert len(hashes) == 1


def test_pause__follows_the_consumer_and_has_all_rows() -> None:
    events = []
    on_pause = lambda state: events.append(("pause", state.step, state.epoch, [row.step for row in state.log]))  # noqa: E731
    spec = TrainSpec(steps=30, batch_size=23, log_every=10)
    found = fine_tune(backbone(), DATA, spec=spec, capture_steps=(0, 30), hooks=[Hook(on_pause=on_pause)])
    events.extend(("frame", checkpoint.step) for checkpoint in found)
    assert events == [
        ("frame", 0), ("pause", 0, 0.0, [0]), ("pause", 25, 25.0, [0, 10, 20]),
        ("frame", 30), ("pause", 30, 30.0, [0, 10, 20, 30]),
    ]  # fmt: skip


def test_pause__never_hears_of_a_training_that_diverged() -> None:
    model, paused = backbone(), []
    calls = iter(range(1000))
    model.head.register_forward_hook(lambda _head, _given, logits: logits * (math.nan if next(calls) > 30 else 1.0))
    spec = TrainSpec(steps=80, batch_size=23)
    found = fine_tune(
        model, DATA, spec=spec, capture_steps=(0, 80), hooks=[Hook(on_pause=lambda state: paused.append(state.step))]
    )
    with pytest.raises(TrainingDivergedError):
        list(found)
    assert paused == [0, 25]


def test_resumed__by_a_plan_that_ends_before_it(states: Path) -> None:
    with pytest.raises(ValueError, match="of step 75, after the last step to capture, 30"):
        train(steps=(0, 30), resume_from=StoredState.load(states / "75"))


def test_resumed__by_another_model_leaves_it_as_it_was(states: Path) -> None:
    model = backbone(width=16, layers=2)
    model.model.classifier = nn.Linear(model.width, 4)
    before = weights_sha256(model.model)
    with pytest.raises(UnusableStateError, match=r"another model \(classifier\.weight is .*3, 16\], not .*4, 16\]"):
        list(fine_tune(model, DATA, spec=SPEC, capture_steps=CAPTURED, resume_from=StoredState.load(states / "25")))
    assert weights_sha256(model.model) == before


# With three processes, the order in which gradients are summed matters too.
TOGETHER = {2: [0, 2, 25, 27], 3: [0, 2, 4]}


def train_and_resume(path: Path) -> None:
    """Train with the other processes, then resume from each state that the main process saved beside `path`."""
    saved = path.parent / "states"
    accelerator = Accelerator(mixed_precision="no")
    paused = []

    def save(state: LiveState) -> None:
        paused.append(state.step)
        state.save(saved / str(state.step))

    pauses = TOGETHER[accelerator.num_processes]
    steps = tuple(step for step in pauses if step != 25)
    options = {"spec": SPEC.model_copy(update={"steps": 28}), "steps": steps, "layers": 1}
    ends = [train(**options, hooks=[Hook(on_pause=save)], accelerator=accelerator)]
    assert paused == (pauses if accelerator.is_main_process else [])
    accelerator.wait_for_everyone()
    for step in pauses:
        stored = StoredState.load(saved / str(step))
        ends.append(train(**options, seed=9, resume_from=stored, accelerator=accelerator))
        ends[-1].checkpoints.insert(0, Checkpoint(-1, step, stored.epoch, ends[-1].model, step, stored.log))
    np.save(path, np.stack([end.log for end in ends]))
    path.with_suffix(".txt").write_text("\n".join(weights_sha256(end.model.model) for end in ends))


@pytest.mark.parametrize("n_processes", TOGETHER)
def test_several_processes__resume_from_the_state_of_the_main_one(tmp_path: Path, n_processes: int) -> None:
    paths = [tmp_path / f"{rank}.npy" for rank in range(n_processes)]
    with together("tests.core.learn.test_fine_tune_resumed", "train_and_resume", paths):
        pass
    for path in paths:
        undisturbed, *resumed = np.load(path)
        for log in resumed:
            np.testing.assert_array_equal(log, undisturbed)
    hashes = [line for path in paths for line in path.with_suffix(".txt").read_text().split()]
    assert len(hashes) == n_processes * (1 + len(TOGETHER[n_processes]))
    assert len(set(hashes)) == 1
