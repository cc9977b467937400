"""Checkpoints are selected by the drift of a few images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from core.domain.schedule import candidate_steps
from core.domain.spec import TrainSpec
from core.errors import TrainingDivergedError, UnusableStateError
from core.learn.adaptive_capture import AdaptiveCapture
from core.learn.embed import weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.learn.training_state import StoredState
from tests.core.learn.small_training import Saving, backbone, blobs, together

STEPS, FRAMES = 60, 6
SPEC = TrainSpec(steps=STEPS, batch_size=16, log_every=7, seed=3)
CANDIDATES = candidate_steps(STEPS, FRAMES)


def adaptive_capture(model: object) -> AdaptiveCapture:
    accelerator = Accelerator(mixed_precision="no")
    images = ImagesOnDevice(blobs(12, seed=5), model, device=torch.device("cpu"))
    return AdaptiveCapture(model, images, candidates=CANDIDATES, frames=FRAMES, spec=SPEC, accelerator=accelerator)


class Trained:
    """A training whose checkpoints are selected by its drift. Each pause saves a state in `folder`."""

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
    return Trained(states)


def test_adaptive_capture__captures_the_requested_number(undisturbed: Trained) -> None:
    indices, steps, _ = zip(*undisturbed.checkpoints, strict=True)
    assert indices == tuple(range(FRAMES))
    assert (steps[0], steps[-1]) == (0, STEPS)
    assert set(steps) <= set(CANDIDATES)
    assert steps != tuple(np.linspace(0, STEPS, FRAMES).round().astype(int))


def test_adaptive_capture__does_not_change_the_training(undisturbed: Trained) -> None:
    plain = backbone(dropout=0.2)
    list(fine_tune(plain, blobs(40), spec=SPEC, capture_steps=(0, STEPS)))
    assert weights_sha256(plain.model) == undisturbed.checkpoints[-1][2]


def test_a_resumed_training_captures_the_same_steps(undisturbed: Trained, states: Path) -> None:
    pauses = sorted(int(folder.name) for folder in states.iterdir())
    assert len(pauses) > FRAMES  # some of them are between two captures
    for step in pauses:
        resumed = Trained(resume=states / str(step), seed=9)
        assert resumed.checkpoints == [one for one in undisturbed.checkpoints if one[1] > step]


def test_adaptive_capture__a_diverged_training_has_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backbone()
    calls = iter(range(1000))
    model.head.register_forward_hook(lambda _head, _given, logits: logits * (np.nan if next(calls) > 8 else 1.0))
    with pytest.raises(TrainingDivergedError):
        list(fine_tune(model, blobs(40), spec=SPEC, capture_steps=CANDIDATES, hooks=[adaptive_capture(model)]))


def train_together(path: Path) -> None:
    """Train with the other processes and write the captured steps."""
    path.write_text(repr([(index, step) for index, step, _ in Trained().checkpoints]))


def test_several_processes_capture_the_same_steps(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.txt" for rank in range(2)]
    with together("tests.core.learn.test_adaptive_capture", "train_together", paths):
        pass
    first, second = (path.read_text() for path in paths)
    assert first == second
    assert first.count("(") == FRAMES


def test_restore__refuses_a_state_without_captured_steps(tmp_path: Path) -> None:
    with pytest.raises(UnusableStateError, match="list of captured checkpoints"):
        adaptive_capture(backbone()).restore(tmp_path)
    (tmp_path / "pacer.safetensors").write_bytes(b"torn")
    with pytest.raises(UnusableStateError, match="train from the beginning"):
        adaptive_capture(backbone()).restore(tmp_path)
