"""Training with augmentation keeps every property of training without it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.domain.augment import AugmentSpec
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone
from core.learn.embed import save_weights, weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint
from core.learn.pixels import ImagesOnDevice
from core.learn.training_state import StoredState
from tests.core.learn.small_training import Saving, backbone, blobs, by_sgd, together, weights

EVERYTHING = AugmentSpec(
    flip=0.5, rotate=20, shear=10, crop=0.5, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, mixup=0.4
)
SPEC = TrainSpec(steps=4, batch_size=9, gradient_accumulation=2, augment=EVERYTHING, label_smoothing=0.1)
LINEAR = by_sgd(SPEC)
DATA = blobs(19)


def train(spec: TrainSpec = SPEC, *, dropout: float = 0.0, **options: object) -> tuple[Backbone, list[Checkpoint]]:
    model = backbone(width=16, layers=1, dropout=dropout)
    return model, list(fine_tune(model, DATA, spec=spec, capture_steps=(0, 2, 4), **options))


def numbers(checkpoints: list[Checkpoint]) -> np.ndarray:
    """Return loss and gradient norm of each step."""
    return np.array([(row.loss, row.gradient_norm) for one in checkpoints for row in one.log])


def test_augmented__same_seed_same_weights_bit_by_bit() -> None:
    first, again, other = (weights(train(SPEC.model_copy(update={"seed": seed}))[0]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_augmented__leaves_the_random_state_of_others_alone() -> None:
    before, others = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - others' state is the point
    train()
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], others)  # noqa: NPY002


@pytest.mark.parametrize(("batch_size", "accumulation"), [(18, 1), (3, 6)])
def test_augmented__accumulation_changes_nothing_but_memory(batch_size: int, accumulation: int) -> None:
    split = LINEAR.model_copy(update={"batch_size": batch_size, "gradient_accumulation": accumulation})
    (one, rows), (other, other_rows) = train(LINEAR), train(split)
    assert not torch.allclose(weights(one), weights(backbone(width=16, layers=1)), rtol=0, atol=1e-3)
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=1e-6)
    np.testing.assert_allclose(numbers(rows), numbers(other_rows), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [0, 2])
def test_augmented__resumed_ends_with_the_same_weights_and_log(tmp_path: Path, step: int) -> None:
    undisturbed, before = train(dropout=0.2, hooks=[Saving(tmp_path)])
    resumed, after = train(dropout=0.2, resume_from=StoredState.load(tmp_path / str(step)))
    assert weights_sha256(resumed.model) == weights_sha256(undisturbed.model)
    np.testing.assert_array_equal(numbers(after), numbers(before)[step + 1 :])


def train_and_save(path: Path) -> None:
    """19 images in 2 processes of 9: forward passes of 5 + 4 and 5 + 4, then a last pass of only one process."""
    model, checkpoints = train(LINEAR)
    save_weights(path, model)
    np.save(path.with_suffix(".npy"), numbers(checkpoints))


def test_augmented__two_processes_equal_one_process(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.safetensors" for rank in range(2)]
    with together("tests.core.learn.test_fine_tune_augmented", "train_and_save", paths):
        train_and_save(tmp_path / "one.safetensors")
    one, first, second = (load_file(path) for path in (tmp_path / "one.safetensors", *paths))
    for name, exclusive in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], exclusive, rtol=0, atol=1e-6)
    logs = [np.load(path.with_suffix(".npy")) for path in (tmp_path / "one.safetensors", *paths)]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(logs[1], logs[2])


def test_augmented__the_first_evaluation_is_on_plain_images() -> None:
    seen: list[Tensor] = []
    model = backbone(width=16, layers=1)
    model.model.register_forward_pre_hook(lambda _model, given: seen.append(given[0]))
    (first, *_) = fine_tune(model, DATA, spec=SPEC, capture_steps=(0, 1))
    _, plain = train(TrainSpec(steps=4, batch_size=9, gradient_accumulation=2))
    assert first.log[0].loss == plain[0].log[0].loss
    stored = ImagesOnDevice(DATA, model, device=torch.device("cpu")).pixel_values(slice(None))
    looked_at, trained_on = (_nearest(torch.cat(passes), stored) for passes in (seen[:2], seen[2:4]))
    assert looked_at.max() < 1e-6
    assert trained_on.min() > 0.01


def _nearest(images: Tensor, stored: Tensor) -> Tensor:
    """Return the mean difference between each image and the most similar stored one."""
    return (images[:, None] - stored[None]).abs().mean(dim=(2, 3, 4)).amin(dim=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_augmented__learns(precision: str) -> None:
    augment = AugmentSpec(flip=0.5, rotate=20, crop=0.5, brightness=0.2, mixup=0.2)
    spec = TrainSpec(steps=40, batch_size=16, learning_rate=5e-3, augment=augment, precision=precision)
    *_, last = fine_tune(backbone(width=16, layers=1), DATA, spec=spec, capture_steps=(0, 40))
    losses = [row.loss for row in last.log]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
