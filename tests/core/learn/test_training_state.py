from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import AdamW

from core.errors import UnusableStateError
from core.learn import training_state
from core.learn.backbones import Backbone
from core.learn.embed import weights_sha256
from core.learn.optimizer import moments, restore_moments
from core.learn.training_log import GrowingLog
from core.learn.training_state import LiveState, StoredState
from tests.core.learn.small_training import backbone

FILES = ["log.npy", "moments.safetensors", "state.json", "weights.safetensors"]


def adamw(model: nn.Module) -> AdamW:
    return AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)


def trained(*, seed: int = 0) -> tuple[Backbone, AdamW, LiveState]:
    """Return a model after one update with random gradients, and the state of its training."""
    model = backbone(width=8, seed=seed)
    optimizer = adamw(model.model)
    drawing = torch.Generator().manual_seed(seed)
    for weights in model.model.parameters():
        weights.grad = torch.rand(weights.shape, generator=drawing)
    optimizer.step()
    log = GrowingLog(Accelerator(mixed_precision="no"))
    for step in range(3):
        log.add(step, epoch=step / 3, loss=torch.tensor(0.1 * step), logged=True)
    log.fetch()
    return model, optimizer, LiveState(2, 2 / 3, model, optimizer, log)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    trained()[2].save(tmp_path / "state")
    return tmp_path / "state"


def test_saved_and_loaded__is_the_same(folder: Path) -> None:
    model, optimizer, live = trained()
    other, others, _ = trained(seed=1)
    stored = StoredState.load(folder)
    stored.restore(other, others)
    assert (stored.step, stored.epoch) == (2, 2 / 3)
    np.testing.assert_array_equal(stored.log.table, live.log.table)
    assert weights_sha256(other.model) == weights_sha256(model.model)
    ours, theirs = moments(model.model, optimizer), moments(other.model, others)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_saved__are_plain_files_by_names(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert load_file(folder / "moments.safetensors").keys() == {
        f"{name}.{moment}"
        for name, _ in backbone(width=8).model.named_parameters()
        for moment in ("step", "exp_avg", "exp_avg_sq")
    }


def test_saved__before_any_update_has_no_moments_and_clears_them(tmp_path: Path) -> None:
    model, optimizer, live = trained()
    fresh = LiveState(0, 0.0, model, adamw(model.model), live.measured)
    fresh.save(tmp_path)
    StoredState.load(tmp_path).restore(model, optimizer)
    assert not moments(model.model, optimizer)


@pytest.mark.parametrize("name", FILES)
def test_load__of_a_folder_where_a_file_is_missing_or_cut_off(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for left in (len(whole) - 1, 9, 0):
        (folder / name).write_bytes(whole[:left])
        with pytest.raises(UnusableStateError, match=r"no complete state .* train from the beginning"):
            StoredState.load(folder)
    (folder / name).unlink()
    with pytest.raises(UnusableStateError, match=r"no complete state .*No such file"):
        StoredState.load(folder)


def test_load__of_a_path_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UnusableStateError, match="no complete state"):
        StoredState.load(tmp_path / "nowhere")


def test_load__of_another_format(folder: Path) -> None:
    state = folder / "state.json"
    state.write_text(state.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(UnusableStateError, match="has format 7, this version reads 1: train from the beginning"):
        StoredState.load(folder)


def test_save__that_ends_early_is_not_taken_for_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_tensors: object, _path: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(training_state, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        trained()[2].save(folder)  # over a complete state
    with pytest.raises(UnusableStateError, match="no complete state"):
        StoredState.load(folder)


def test_restore__into_another_model_changes_nothing(folder: Path) -> None:
    stored = StoredState.load(folder)
    for sizes, pattern in (
        ({"width": 16}, r"another model \(vit\.\S+ is \S+\[.*\], not \S+\[.*\]\)"),
        ({"layers": 1}, "not "),
    ):
        other = backbone(**{"width": 8} | sizes)
        before = weights_sha256(other.model)
        with pytest.raises(UnusableStateError, match=pattern):
            stored.restore(other, adamw(other.model))
        assert weights_sha256(other.model) == before


def test_fits__names_the_model_of_another_id(folder: Path) -> None:
    other = backbone(width=8)
    object.__setattr__(other, "model_id", "vit-small")
    with pytest.raises(UnusableStateError, match=r"another model \(vit-tiny, not vit-small\)"):
        StoredState.load(folder).require_fits(other)


def test_moments__keep_the_memory_layout_of_their_weights() -> None:
    def transposed() -> tuple[nn.Module, AdamW]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        model.weight = nn.Parameter(torch.rand(3, 2).T)
        return model, adamw(model)

    def update(model: nn.Module, optimizer: AdamW, seed: int) -> None:
        torch.manual_seed(seed)
        for weights in model.parameters():
            weights.grad = torch.empty_like(weights).copy_(torch.rand(weights.shape))
        optimizer.step()

    model, optimizer = transposed()
    update(model, optimizer, 1)
    other, others = transposed()
    other.load_state_dict(model.state_dict())
    restore_moments(other, others, moments(model, optimizer))
    assert others.state[other.weight]["exp_avg"].stride() == model.weight.stride() == (1, 2)
    for one, its in ((model, optimizer), (other, others)):
        update(one, its, 2)
    assert torch.equal(model.weight, other.weight)


@pytest.mark.parametrize(
    "moment", [{"head.exp_avg": torch.zeros(2, 3)}, {"weight.exp_avg": torch.zeros(3)}, {"weight.step": torch.ones(2)}]
)
def test_moments__of_other_parameters(moment: dict[str, torch.Tensor]) -> None:
    model = nn.Linear(3, 2)
    optimizer = adamw(model)
    with pytest.raises(ValueError, match="the model has no weights"):
        restore_moments(model, optimizer, moment)


def test_weights_of_another_file__are_refused(folder: Path) -> None:
    save_file({"other": torch.zeros(1)}, folder / "weights.safetensors")
    model, optimizer, _ = trained()
    with pytest.raises(RuntimeError):
        StoredState.load(folder).restore(model, optimizer)
