import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from core.domain.phases import learning_rate_factor
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.errors import TrainingDivergedError
from core.learn.backbones import Backbone
from core.learn.embed import save_weights
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint
from tests.core.learn.small_training import Hook, backbone, blobs, by_sgd, together, weights


def train(
    spec: TrainSpec,
    *,
    data: LabelledImages | None = None,
    steps: Sequence[int] | None = None,
    model: Backbone | None = None,
) -> tuple[Backbone, list[Checkpoint]]:
    model = model or backbone()
    found = fine_tune(model, data or blobs(), spec=spec, capture_steps=steps or (0, spec.steps))
    return model, list(found)


def rates(spec: TrainSpec) -> list[float]:
    _, checkpoints = train(spec)
    return [row.learning_rate for checkpoint in checkpoints for row in checkpoint.log][1:]


def test_fine_tune__learns() -> None:
    _, checkpoints = train(TrainSpec(steps=25, batch_size=16))
    rows = [row for checkpoint in checkpoints for row in checkpoint.log]
    assert rows[0].loss > 0.8
    assert rows[-1].loss < 0.3 * rows[0].loss


def test_fine_tune__same_seed_same_weights_bit_by_bit() -> None:
    spec = TrainSpec(steps=6, batch_size=16, seed=4)
    first, again = (weights(train(spec, model=backbone(dropout=0.2))[0]) for _ in range(2))
    other = weights(train(TrainSpec(steps=6, batch_size=16, seed=5), model=backbone(dropout=0.2))[0])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_fine_tune__capture_does_not_change_the_training() -> None:
    spec = TrainSpec(steps=12, batch_size=16)
    quiet, busy = backbone(dropout=0.2), backbone(dropout=0.2)
    train(spec, model=quiet)
    for _ in fine_tune(busy, blobs(), spec=spec, capture_steps=range(13)):
        torch.manual_seed(1)
        busy.model.eval()
        torch.rand(100)
    assert torch.equal(weights(quiet), weights(busy))


def test_fine_tune__leaves_the_random_state_of_others_alone() -> None:
    before = torch.get_rng_state()
    train(TrainSpec(steps=3, batch_size=16), model=backbone(dropout=0.5))
    assert torch.equal(torch.get_rng_state(), before)


def test_fine_tune__first_checkpoint_is_untrained_and_live() -> None:
    model = backbone()
    initial = weights(model)
    found = fine_tune(model, blobs(), spec=TrainSpec(steps=2, batch_size=16), capture_steps=(0, 1, 2))
    first = next(found)
    assert (first.index, first.step, first.epoch) == (0, 0, 0.0)
    assert first.backbone is model
    assert torch.equal(weights(model), initial)
    model.model.eval()
    second = next(found)
    assert (second.index, second.step) == (1, 1)
    assert model.model.training
    assert not torch.equal(weights(model), initial)
    assert [checkpoint.step for checkpoint in found] == [2]


def test_log__has_rows_for_step_0_every_n_steps_and_captures() -> None:
    _, checkpoints = train(TrainSpec(steps=10, batch_size=16, log_every=4), steps=(0, 3, 10))
    logged = [[row.step for row in checkpoint.log] for checkpoint in checkpoints]
    assert logged == [[0], [3], [4, 8, 10]]


def test_log__step_0_is_the_first_batch_before_any_update() -> None:
    _, (first, second) = train(TrainSpec(steps=1, batch_size=16))
    before, row = first.log[0], second.log[0]
    assert before.loss == pytest.approx(row.loss, abs=1e-6)
    assert math.isnan(before.learning_rate)
    assert math.isnan(before.gradient_norm)
    assert row.learning_rate == 1e-3
    assert row.gradient_norm > 0


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "epochs"),
    [
        (20, 1, [0.0, 0.4, 0.8, 1.0, 1.4, 1.8]),  # 20, 20, 10
        (25, 2, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        (64, 1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),  # larger than the training set
        (15, 2, [0.0, 0.6, 1.0, 1.6, 2.0, 2.6]),  # 15 + 15, 15 + 5
    ],
)
def test_epochs__count_processed_images(batch_size: int, accumulation: int, epochs: list[float]) -> None:
    spec = TrainSpec(steps=5, batch_size=batch_size, gradient_accumulation=accumulation)
    _, checkpoints = train(spec, steps=range(6))
    assert [checkpoint.epoch for checkpoint in checkpoints] == pytest.approx(epochs)
    assert [checkpoint.log[0].epoch for checkpoint in checkpoints] == pytest.approx(epochs)


def test_every_pass_shows_each_image_once() -> None:
    data = blobs(23)
    data.images[:, 0, 0, 0] = np.arange(23)
    model, seen = backbone(), []
    model.model.register_forward_pre_hook(
        lambda _model, inputs: seen.append(((inputs[0][:, 0, 0, 0] + 1) * 127.5).round().int())
    )
    list(fine_tune(model, data, spec=TrainSpec(steps=6, batch_size=8), capture_steps=(0, 6)))
    look, *passes = seen
    assert [len(batch) for batch in passes] == [8, 8, 7, 8, 8, 7]
    assert torch.equal(look, passes[0])
    first, second = torch.cat(passes[:3]), torch.cat(passes[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(23))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("n_images", [64, 50])
def test_accumulation__changes_nothing_but_memory(n_images: int) -> None:
    whole = by_sgd(TrainSpec(steps=3, batch_size=32))
    parts = by_sgd(TrainSpec(steps=3, batch_size=8, gradient_accumulation=4))
    (one, rows), (other, other_rows) = train(whole, data=blobs(n_images)), train(parts, data=blobs(n_images))
    assert not torch.allclose(weights(one), weights(backbone()), rtol=0, atol=1e-3)
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=1e-6)
    for row, again in zip(rows[1].log, other_rows[1].log, strict=True):
        assert row.loss == pytest.approx(again.loss, abs=1e-4)
        assert row.gradient_norm == pytest.approx(again.gradient_norm, rel=1e-3)


def test_gradients__are_clipped_and_their_norm_logged_before_that() -> None:
    model = backbone()
    found = fine_tune(model, blobs(), spec=TrainSpec(steps=1, batch_size=16, clip_norm=1e-9), capture_steps=(0, 1))
    next(found)
    before = weights(model)
    row = next(found).log[0]
    assert row.gradient_norm > 1e-3
    # AdamW divides by |gradient| + 1e-8: gradients of at most 1e-9 move weights by less than a tenth of the rate.
    moved = (weights(model) - before).abs().max()
    assert moved < 0.1 * 1e-3 + 1e-3 * 0.05


def test_learning_rate__hand_case() -> None:
    expected = [1 / 3, 2 / 3] + [(1 + math.cos(math.pi * part / 8)) / 2 for part in range(8)]
    assert rates(TrainSpec(steps=10, batch_size=16, warmup=0.2, learning_rate=0.5)) == pytest.approx(
        [0.5 * factor for factor in expected]
    )


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.9), (7, 0.0), (300, 0.1), (50, 0.99)])
def test_learning_rate__is_transformers_schedule_without_its_wasted_first_update(steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    rising = min(round(warmup * steps), steps - 1)
    scheduler = get_cosine_schedule_with_warmup(optimizer, rising + 1, steps + 1)
    for step in range(1, steps + 1):
        optimizer.step()
        scheduler.step()
        assert learning_rate_factor(step, steps=steps, warmup=warmup) == pytest.approx(scheduler.get_last_lr()[0])


def spoil(model: Backbone, *, at_call: int) -> None:
    """Make the logits NaN from one forward pass on. The first pass is the evaluation before any update."""
    calls = []

    def hook(_head: nn.Module, _inputs: object, logits: Tensor) -> Tensor:
        calls.append(1)
        return logits * (math.nan if len(calls) > at_call else 1.0)

    model.head.register_forward_hook(hook)


@pytest.mark.parametrize(("at_call", "step"), [(0, 0), (1, 1), (4, 4)])
def test_divergence__is_raised_before_the_checkpoint_and_names_its_first_step(at_call: int, step: int) -> None:
    model = backbone()
    spoil(model, at_call=at_call)
    spec = TrainSpec(steps=9, batch_size=16, log_every=5)
    found = fine_tune(model, blobs(), spec=spec, capture_steps=(0, 2, 9))
    captured: list[int] = []
    with pytest.raises(TrainingDivergedError, match=rf"loss .* at step {step}\D.* Lower train\.learning_rate"):
        captured.extend(checkpoint.step for checkpoint in found)
    assert captured == [known for known in (0, 2) if known < step]


def test_divergence__ends_a_run_long_before_a_late_checkpoint() -> None:
    model, done = backbone(), []
    spoil(model, at_call=1)
    with pytest.raises(TrainingDivergedError):
        list(
            fine_tune(
                model,
                blobs(2),
                spec=TrainSpec(steps=500, batch_size=1),
                capture_steps=(0, 500),
                hooks=[Hook(on_step=done.append)],
            )
        )
    assert done[-1] == 25


def test_divergence__of_gradients_alone() -> None:
    model = backbone()
    model.head.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(TrainingDivergedError, match=r"gradient .* at step 1\D"):
        train(TrainSpec(steps=2), model=model)


def test_on_step__hears_of_every_step_and_may_end_the_training() -> None:
    steps = []

    def listen(step: int) -> None:
        steps.append(step)
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(
            fine_tune(backbone(), blobs(), spec=TrainSpec(steps=9), capture_steps=(0, 9), hooks=[Hook(on_step=listen)])
        )
    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("steps", [(), (1, 2), (0, 2, 2), (0, 11)])
def test_fine_tune__steps_that_do_not_rise(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must rise from 0"):
        next(fine_tune(backbone(), blobs(), spec=TrainSpec(steps=10), capture_steps=steps))


def test_fine_tune__bf16_trains_float32_weights() -> None:
    model, checkpoints = train(TrainSpec(steps=2, batch_size=16, precision="bf16"))
    exact, _ = train(TrainSpec(steps=2, batch_size=16, precision="fp32"))
    assert weights(model).dtype == torch.float32
    assert math.isfinite(checkpoints[-1].log[-1].loss)
    assert not torch.equal(weights(model), weights(exact))


TOGETHER = by_sgd(TrainSpec(steps=4, batch_size=9, gradient_accumulation=2))


def train_and_save(path: Path) -> None:
    """19 images in 2 processes of 9: forward passes of 5 + 4 and 5 + 4, then a last pass of only one process."""
    model, checkpoints = train(TOGETHER, data=blobs(19), steps=(0, 2, 4))
    save_weights(path, model)
    rows = [row for checkpoint in checkpoints for row in checkpoint.log]
    np.savetxt(path.with_suffix(".txt"), [(row.loss, row.gradient_norm) for row in rows])


def test_two_processes__equal_one_process(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.safetensors" for rank in range(2)]
    with together("tests.core.learn.test_fine_tune", "train_and_save", paths):
        train_and_save(tmp_path / "one.safetensors")
    one, first, second = (load_file(path) for path in (tmp_path / "one.safetensors", *paths))
    for name, exclusive in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], exclusive, rtol=0, atol=1e-6)
    logs = [np.loadtxt(path.with_suffix(".txt")) for path in (tmp_path / "one.safetensors", *paths)]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(logs[1], logs[2])
