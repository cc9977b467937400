"""A training of several phases: which layers learn in each phase, at which rate, and how it resumes."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import ResNetConfig

from core.domain.spec import TrainSpec
from core.errors import InvalidSpecError
from core.learn.backbones import Backbone
from core.learn.embed import embed, features_of, weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint
from core.learn.passes import ShuffledPasses
from core.learn.pixels import ImagesOnDevice
from core.learn.training_log import LogRows
from core.learn.training_state import StoredState
from tests.core.learn.small_training import Saving, backbone, blobs, of_family, together

DATA = blobs(23)
HEAD = {"name": "head", "trainable": "head", "steps": 7, "optimizer": "adam", "schedule": "constant"}
BLOCKS = {"name": "blocks", "trainable": "last_n_blocks", "n_blocks": 2, "steps": 5, "optimizer": "sgd"}
ALL = {"name": "all", "steps": 6, "layer_decay": {"kind": "exponential", "factor": 0.5}}


def spec_of(*phases: dict[str, object], **fields: object) -> TrainSpec:
    given = TrainSpec.model_validate({"phases": phases, "batch_size": 4, "gradient_accumulation": 2} | fields)
    return given.settled(n_images=len(DATA.labels), decay=None)  # type: ignore[arg-type]


def train(
    spec: TrainSpec, *, model: Backbone | None = None, steps: tuple[int, ...] | None = None, **options: object
) -> tuple[Backbone, list[Checkpoint]]:
    model = model or backbone(dropout=0.2)
    found = fine_tune(model, DATA, spec=spec, capture_steps=steps or (0, spec.steps), **options)  # type: ignore[arg-type]
    return model, list(found)


def state_of(model: Backbone) -> dict[str, Tensor]:
    return copy.deepcopy(model.model.state_dict())


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_head_alone__learns_as_a_linear_layer_on_features_computed_once() -> None:
    """Compared with torch's Adam on a copy of the head, with the features of the same images in each step."""
    spec = spec_of(HEAD | {"steps": 20, "weight_decay": 0.0}, clip_norm=1e9)
    model = backbone(dropout=0.2)
    device = torch.device("cpu")
    features = features_of(model, ImagesOnDevice(DATA, model, device=device))
    head: nn.Linear = copy.deepcopy(model.head)
    adam = torch.optim.Adam(head.parameters(), lr=1e-3)
    passes = ShuffledPasses(len(DATA.labels), size=8, seed=0, device=device)
    for step in range(1, 21):
        rows = passes.rows(step)
        adam.zero_grad()
        cross_entropy(head(features[rows]), torch.from_numpy(DATA.labels)[rows]).backward()
        adam.step()
    before = state_of(model)
    train(spec, model=model)
    torch.testing.assert_close(model.head.weight, head.weight, rtol=1e-5, atol=1e-6)
    assert changed(before, state_of(model)) == {"classifier.weight", "classifier.bias"}


def test_head_alone__features_of_augmented_images_are_not_reused() -> None:
    """The head learns differently, and nothing else learns."""
    models = [train(spec_of(HEAD, augment=augment))[0] for augment in ({}, {"rotate": 90})]
    before = state_of(backbone(dropout=0.2))
    for model in models:
        assert changed(before, state_of(model)) == {"classifier.weight", "classifier.bias"}
    assert not torch.equal(models[0].head.weight, models[1].head.weight)


def test_head_alone__is_given_each_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    model = backbone()
    forward = model.model.forward

    def counted(pixels: Tensor, **options: object) -> object:
        seen.append(len(pixels))
        return forward(pixels, **options)

    monkeypatch.setattr(model.model, "forward", counted)
    train(spec_of(HEAD | {"steps": 30}), model=model)
    look = 8
    assert sum(seen) == len(DATA.labels) + look


def test_frozen_blocks__keep_the_statistics_of_their_norms() -> None:
    config = ResNetConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], embedding_size=8, num_labels=3)
    model = of_family("resnet", config)
    before = state_of(model)
    train(spec_of(BLOCKS | {"n_blocks": 1}), model=model)
    moved = changed(before, state_of(model))
    assert {name.partition(".stages.")[2].partition(".")[0] for name in moved} == {"3", ""}
    assert {name for name in moved if "stages" not in name} == {"classifier.1.weight", "classifier.1.bias"}
    assert any("running_mean" in name for name in moved)
    before = state_of(model)
    train(spec_of(HEAD), model=model)
    assert changed(before, state_of(model)) == {"classifier.1.weight", "classifier.1.bias"}


def test_layers__move_at_their_shares_of_the_rate() -> None:
    """A first step of SGD moves weights by rate times gradient."""
    decay = {"kind": "linear", "floor": 0.1}
    phase = ALL | {"steps": 1, "layer_decay": decay, "optimizer": "sgd", "weight_decay": 0, "learning_rate": 0.5}
    spec = spec_of(phase, clip_norm=1e9, batch_size=23, gradient_accumulation=1)
    model = backbone()
    reference = copy.deepcopy(model.model)
    images = ImagesOnDevice(DATA, model, device=torch.device("cpu"))
    cross_entropy(reference(images.pixel_values(slice(None))).logits, images.labels).backward()
    before = state_of(model)
    train(spec, model=model)
    shares = {"vit.embeddings": 0.1, **{f"vit.layers.{n}.": 0.1 + 0.9 * (n + 1) / 5 for n in range(4)}}
    gradients = {name: weights.grad for name, weights in reference.named_parameters()}
    for name, weights in model.model.named_parameters():
        share = next((share for start, share in shares.items() if name.startswith(start)), 1.0)
        expected = -0.5 * share * gradients[name]
        torch.testing.assert_close(weights.detach() - before[name], expected, rtol=2e-3, atol=1e-6)


def test_the_log__has_the_rate_of_each_phase() -> None:
    spec = spec_of(HEAD | {"learning_rate": 0.25, "steps": 2}, ALL | {"learning_rate": 0.5, "steps": 2})
    _, checkpoints = train(spec, steps=(0, 1, 2, 3, 4))
    rows = LogRows.joined([checkpoint.log for checkpoint in checkpoints])
    assert [row.learning_rate for row in rows][1:] == pytest.approx([0.25, 0.25, 0.5, 0.25])
    assert [row.epoch for row in rows] == pytest.approx([0, 8 / 23, 16 / 23, 1, 1 + 8 / 23])


def test_features__are_equal_at_checkpoints_that_declare_it() -> None:
    spec = spec_of(HEAD | {"steps": 2}, ALL | {"steps": 2}, HEAD | {"steps": 2, "name": "again"})
    model = backbone(dropout=0.2)
    probe = ImagesOnDevice(DATA, model, device=torch.device("cpu"))
    seen: dict[int, Tensor] = {}
    body = []
    for checkpoint in fine_tune(model, DATA, spec=spec, capture_steps=range(7)):
        body.append(checkpoint.backbone_changed_at)
        features = features_of(model, probe)
        assert torch.equal(seen.setdefault(checkpoint.backbone_changed_at, features), features)
        whole = embed(model, probe, step=0, epoch=0)
        cheap = embed(model, probe, step=0, epoch=0, features=seen[checkpoint.backbone_changed_at])
        np.testing.assert_array_equal(whole.embeddings, cheap.embeddings)
        assert (whole.loss, whole.accuracy) == (cheap.loss, cheap.accuracy)
    assert body == [0, 0, 0, 3, 4, 4, 4]


def test_a_phase_that_does_not_fit_the_model__is_refused_before_anything_is_trained() -> None:
    model = backbone()
    before = state_of(model)
    with pytest.raises(InvalidSpecError, match="last 9 blocks"):
        train(spec_of(HEAD, BLOCKS | {"n_blocks": 9}), model=model)
    assert not changed(before, state_of(model))


SPEC = spec_of(HEAD, BLOCKS, ALL, log_every=2, seed=3)
EVERY = tuple(range(SPEC.steps + 1))


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the state of every step, and the hash of the final weights."""
    folder = tmp_path_factory.mktemp("states")
    model, _ = train(SPEC, steps=EVERY, hooks=[Saving(folder)])
    return folder, weights_sha256(model.model)


@pytest.mark.parametrize("step", EVERY)
def test_resumed__at_any_step_ends_equally(states: tuple[Path, str], step: int) -> None:
    folder, expected = states
    model, _ = train(
        SPEC, model=backbone(dropout=0.2, seed=9), steps=EVERY, resume_from=StoredState.load(folder / str(step))
    )
    assert weights_sha256(model.model) == expected


def test_capture__does_not_change_the_training(states: tuple[Path, str]) -> None:
    model, _ = train(SPEC)
    assert weights_sha256(model.model) == states[1]


def train_along(path: Path) -> None:
    """Train with the other processes, then again from the middle of each phase."""
    accelerator = Accelerator(mixed_precision="no")
    saved, pauses = path.parent / "states", (0, 3, 7, 9, 12, 14, 18)
    spec = spec_of(HEAD, BLOCKS | {"n_blocks": 1}, ALL, log_every=2, seed=3)

    def trained(**options: object) -> Backbone:
        return train(
            spec, model=backbone(dropout=0.2, width=16, layers=1), steps=pauses, accelerator=accelerator, **options
        )[0]

    model = trained(hooks=[Saving(saved)])
    hashes = [weights_sha256(model.model)]
    accelerator.wait_for_everyone()
    for step in pauses:
        stored = StoredState.load(saved / str(step))
        hashes.append(weights_sha256(trained(resume_from=stored).model))
    np.save(path, np.concatenate([weights.detach().numpy().ravel() for weights in model.model.parameters()]))
    path.with_suffix(".txt").write_text("\n".join(hashes))


def test_two_processes__end_equally_and_resume_at_any_step(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.npy" for rank in range(2)]
    with together("tests.core.learn.test_fine_tune_phases", "train_along", paths):
        pass
    both = [np.load(path) for path in paths]
    np.testing.assert_array_equal(*both)
    hashes = [line for path in paths for line in path.with_suffix(".txt").read_text().split()]
    assert len(hashes) == 2 * 8
    assert len(set(hashes)) == 1
