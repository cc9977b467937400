"""Properties of every observer of the table, and the recorder that calls them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from core.domain.phases import Phase
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone
from core.learn.embed import embed, features_of, weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.observe import OBSERVERS, recorder
from core.observe.observer import CheckpointFacts
from core.observe.recorder import Recorder
from core.store.objects import codecs
from tests.core.learn.small_training import backbone, blobs

every_observer = pytest.mark.parametrize("observer", OBSERVERS, ids=lambda observer: observer.folder)
PROBE = blobs(9, seed=5)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def on_cpu(model: Backbone) -> ImagesOnDevice:
    return ImagesOnDevice(PROBE, model, device=torch.device("cpu"))


def observed(observer, model: Backbone, *, is_last: bool = False):
    images = on_cpu(model)
    facts = CheckpointFacts(7, 1.5, is_last, "fp32", features_of(model, images, precision="fp32"))
    return observer.observe(model, images, facts)


def same(one: object, other: object) -> bool:
    """Return True if two records are bit-identical."""
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name), equal_nan=False)
        if isinstance(getattr(one, field.name), np.ndarray)
        else getattr(one, field.name) == getattr(other, field.name)
        for field in fields(one)
    )


def test_the_table__has_a_folder_for_each() -> None:
    assert len({observer.folder for observer in OBSERVERS}) == len(OBSERVERS) > 0
    assert OBSERVERS[0].folder == "frame", "where stages, API and client read embeddings"


@every_observer
def test_record__is_read_as_it_was_written(observer, tmp_path: Path) -> None:
    record = observed(observer, backbone(), is_last=True)
    assert is_dataclass(record)
    assert type(record) is observer.kind
    assert any(isinstance(getattr(record, field.name), np.ndarray) for field in fields(record))
    codecs.save(tmp_path / observer.folder, record)
    assert same(codecs.load(tmp_path / observer.folder, observer.kind), record)


@every_observer
def test_record__depends_on_nothing_but_the_checkpoint(observer) -> None:
    model = backbone(dropout=0.5)
    first = observed(observer, model)
    observed(observer, backbone(seed=4), is_last=True)
    torch.manual_seed(99)
    assert same(observed(observer, model), first)


@every_observer
def test_observing__changes_nothing(observer) -> None:
    model = backbone(dropout=0.5)
    model.model.train()
    model.model.vit.layers[0].eval()
    model.model.vit.layers[1].requires_grad_(requires_grad=False)
    model.head.weight.grad = torch.ones_like(model.head.weight)

    def state() -> tuple:
        return (
            weights_sha256(model.model),
            [module.training for module in model.model.modules()],
            [(len(vars(module)["_forward_hooks"]), sorted(vars(module))) for module in model.model.modules()],
            [weights.requires_grad for weights in model.model.parameters()],
            [None if weights.grad is None else weights.grad.sum().item() for weights in model.model.parameters()],
            model.model.config._attn_implementation,  # noqa: SLF001 - no other name for it
            torch.get_rng_state().tolist(),
        )

    before = state()
    observed(observer, model, is_last=True)
    assert state() == before


def test_recorder__asks_only_the_head_while_only_the_head_learns(tmp_path: Path) -> None:
    model, passes = backbone(width=16), []
    phases = (Phase(name="probe", trainable="head", steps=2), Phase(name="all", steps=2))
    records, plain = Recorder(on_cpu(model), precision="fp32"), {}
    for one in fine_tune(model, blobs(12), spec=TrainSpec(steps=4, phases=phases), capture_steps=range(5)):
        watch = model.model.vit.register_forward_hook(lambda *_given, step=one.step: passes.append(step))
        facts = {"step": one.step, "changed_at": one.backbone_changed_at}
        loss = records.loss(model, **facts)
        records.record(tmp_path / str(one.step), model, epoch=one.epoch, is_last=one.step == 4, **facts)
        watch.remove()
        plain[one.step] = embed(
            model, on_cpu(model), step=one.step, epoch=one.epoch, precision="fp32", probabilities=one.step == 4
        )
        assert loss == plain[one.step].loss
    assert passes == [0, 3, 4]
    for step, frame in plain.items():
        assert same(codecs.load(tmp_path / str(step) / "frame", type(frame)), frame)


@dataclass(frozen=True)
class Norms:
    norms: np.ndarray


class NormObserver:
    folder = "norms"
    kind = Norms

    def observe(self, _model: Backbone, _probe: ImagesOnDevice, facts: CheckpointFacts) -> Norms:
        return Norms(facts.features.norm(dim=1).numpy())


def test_recorder__one_line_in_the_table_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "OBSERVERS", (*OBSERVERS, NormObserver()))
    model = backbone()
    records = Recorder(on_cpu(model), precision="fp32").record(
        tmp_path, model, step=0, epoch=0.0, is_last=True, changed_at=0
    )
    assert [*records] == [*(observer.folder for observer in OBSERVERS), "norms"]
    stored = codecs.load(tmp_path / "norms", Norms)
    np.testing.assert_allclose(stored.norms, np.linalg.norm(records["frame"].embeddings, axis=1), rtol=1e-5)
