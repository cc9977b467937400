"""Adapters learn instead of weights. All other code sees a plain model with merged weights."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import BeitConfig, BeitForImageClassification

from core.domain.families import FAMILIES
from core.domain.sources import LabelledImages
from core.domain.spec import LoraSpec, TrainSpec
from core.errors import InvalidSpecError, UnusableStateError
from core.learn import trained
from core.learn.backbones import Backbone
from core.learn.embed import embed, features_of, load_weights, save_weights, weights_sha256
from core.learn.fast_forward import fast_forward
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint
from core.learn.learning import how_many_learn, learning_layers, set_learning, set_modes
from core.learn.lora import adapted, is_adapter, merge
from core.learn.pixels import ImagesOnDevice
from core.learn.training_state import LiveState, StoredState
from tests.core.learn.offline_hub import as_its_user_loads_it
from tests.core.learn.small_families import CONFIGS, SMALL
from tests.core.learn.small_training import Hook, Saving, backbone, blobs, of_family, together

DATA = blobs(23)
HEAD = {"name": "head", "trainable": "head", "steps": 5}
BLOCKS = {"name": "blocks", "trainable": "last_n_blocks", "n_blocks": 2, "steps": 4, "optimizer": "sgd"}
ALL = {"name": "all", "steps": 5, "layer_decay": {"kind": "exponential", "factor": 0.5}}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.2}
SIDE = 32
every_family = pytest.mark.parametrize("model_type", FAMILIES)


def spec_of(*phases: dict[str, object], lora: dict[str, object] | None = LORA, **fields: object) -> TrainSpec:
    given = {"phases": phases, "batch_size": 4, "gradient_accumulation": 2, "lora": lora, "seed": 3} | fields
    return TrainSpec.model_validate(given).settled(n_images=23, decay=None)  # type: ignore[arg-type]


def train(
    spec: TrainSpec,
    *,
    model: Backbone | None = None,
    data: LabelledImages = DATA,
    steps: tuple[int, ...] | None = None,
    **options: object,
) -> tuple[Backbone, list[Checkpoint]]:
    model = model or backbone(dropout=0.2)
    found = fine_tune(model, data, spec=spec, capture_steps=steps or (0, spec.steps), **options)  # type: ignore[arg-type]
    return model, list(found)


def pictures(side: int) -> Tensor:
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1))


def logits(model: nn.Module, side: int = 8) -> Tensor:
    with torch.inference_mode():
        return model.eval()(pictures(side)).logits


def state_of(model: Backbone) -> dict[str, Tensor]:
    return copy.deepcopy(model.model.state_dict())


def changed(before: dict[str, Tensor], after: Backbone) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after.model.state_dict()[name])}


def trained_family(model_type: str) -> tuple[Backbone, Backbone, dict[str, Tensor]]:
    """Train a small model of the family for a few steps. Returns it, the adapted model, and the weights before."""
    config = CONFIGS[model_type].to_dict() | FAMILIES[model_type].config | {"num_labels": 3}
    model = of_family(model_type, type(CONFIGS[model_type])(**config))
    rng = np.random.default_rng(0)
    data = LabelledImages(rng.integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8), np.arange(8) % 3)
    learning: list[Backbone] = []
    before = state_of(model)
    spec = spec_of({"name": "all", "steps": 8, "learning_rate": 1e-2}, batch_size=8, gradient_accumulation=1)
    train(spec, model=model, data=data, hooks=[Hook(on_pause=lambda state: learning.append(state.backbone))])
    return model, learning[-1], before


@every_family
def test_every_family__nothing_changes_at_first(model_type: str) -> None:
    model = of_family(model_type, CONFIGS[model_type])
    before = torch.get_rng_state()
    learning = adapted(model, TrainSpec(lora=LoraSpec()))
    assert torch.equal(torch.get_rng_state(), before)
    found, expected = logits(learning.model, SIDE), logits(model.model, SIDE)
    if FAMILIES[model_type].cls_layers is None:
        assert torch.equal(found, expected)
    else:  # keys and values of the last layer are computed because they have adapters
        torch.testing.assert_close(found, expected)
    assert not any(is_adapter(name) for name, _ in model.model.named_parameters())
    assert type(learning.head) is nn.Linear
    assert learning.head in set(learning.model.modules())


@every_family
def test_every_family__only_adapted_layers_and_the_head_learn(model_type: str) -> None:
    model, learning, before = trained_family(model_type)
    adapters = {name.partition(".lora_")[0] for name, _ in learning.model.named_parameters() if is_adapter(name)}
    assert adapters >= set(SMALL[model_type].adapted)
    assert adapters == {
        path
        for path, _module in model.model.named_modules()
        if any(f".{path}".endswith(f".{target}") for target in FAMILIES[model_type].lora_targets)
    }
    head = next(path for path, module in model.model.named_modules() if module is model.head)
    assert changed(before, model) == {f"{path}.weight" for path in adapters} | {f"{head}.weight", f"{head}.bias"}


@every_family
def test_every_family__merged_weights_equal_the_adapted_model(model_type: str, tmp_path: Path) -> None:
    """The merged weights, also loaded by transformers, give the logits of the model with adapters."""
    model, learning, _before = trained_family(model_type)
    expected = logits(learning.model, SIDE)
    torch.testing.assert_close(logits(model.model, SIDE), expected, rtol=1e-4, atol=1e-5)
    trained.save(tmp_path, model)
    loaded = as_its_user_loads_it(tmp_path, model_type)
    assert torch.equal(logits(loaded, SIDE), logits(model.model, SIDE))
    with fast_forward(loaded), fast_forward(model.model):
        assert torch.equal(logits(loaded, SIDE), logits(model.model, SIDE))
    again = trained.load(tmp_path, "run:run_1", class_names=list(model.model.config.id2label.values()), seed=9)
    assert weights_sha256(again.model) == weights_sha256(model.model)


def test_added_weights__have_the_requested_rank() -> None:
    model = backbone()
    before = state_of(model)
    train(spec_of(ALL | {"learning_rate": 1e-2}), model=model)
    for name in ("vit.layers.0.attention.q_proj.weight", "vit.layers.3.mlp.fc1.weight"):
        added = model.model.state_dict()[name] - before[name]
        large, small = torch.linalg.svdvals(added)[[3, 4]]
        assert small < 1e-3 * large


def test_added_weights__are_scaled_by_alpha_over_rank() -> None:
    """After a step of SGD from B = 0 the added weights are -rate * scale^2 * gradient A'A, so they grow with the square
    of alpha.
    """
    phase = {"name": "all", "steps": 1, "optimizer": "sgd", "weight_decay": 0, "learning_rate": 1e-2}
    name = "vit.layers.2.mlp.fc1.weight"
    added = []
    for alpha in (4, 8):
        model = backbone()
        before = state_of(model)
        train(spec_of(phase, lora={"rank": 4, "alpha": alpha}, clip_norm=1e9), model=model)
        added.append(model.model.state_dict()[name] - before[name])
    torch.testing.assert_close(added[1], 4 * added[0], rtol=1e-2, atol=1e-6)


def test_dropout__is_of_the_adapters_while_they_learn() -> None:
    learning = adapted(backbone(), spec_of(BLOCKS))
    phases = spec_of(HEAD, BLOCKS | {"n_blocks": 1}).phases
    on = []
    for phase in phases:
        set_learning(learning, learning_layers(learning, phase))
        set_modes(learning)
        on.append({name for name, module in learning.model.named_modules() if module.training and "dropout." in name})
    assert on[0] == set()
    assert {name.partition(".attention")[0].partition(".mlp")[0] for name in on[1]} == {"vit.layers.3"}
    dropouts = [module for module in learning.model.modules() if isinstance(module, nn.Dropout) and module.p == 0.2]
    assert len(dropouts) == 4 * 6
    assert len(on[1]) == 6


def test_layers__are_the_adapters_of_the_blocks_and_the_head() -> None:
    learning = adapted(backbone(), spec_of(ALL))
    head, blocks, everything = spec_of(HEAD, BLOCKS, ALL).phases
    assert [set(layer.weights) for layer in learning_layers(learning, head)] == [
        {"classifier.weight", "classifier.bias"}
    ]
    found = learning_layers(learning, blocks)
    assert [layer.name for layer in found] == ["vit.layers.2", "vit.layers.3", "classifier"]
    assert set(found[-1].weights) == {"classifier.weight", "classifier.bias"}
    assert all(is_adapter(name) for layer in found[:-1] for name in layer.weights)
    assert [len(layer.weights) for layer in found[:-1]] == [12, 12]
    decayed = learning_layers(learning, everything)
    assert [(layer.fraction, len(layer.weights)) for layer in decayed] == [
        (0.5**5, 0), (0.5**4, 12), (0.5**3, 12), (0.5**2, 12), (0.5, 12), (1.0, 2),
    ]  # fmt: skip


def test_phases__move_only_their_layers() -> None:
    model = backbone(dropout=0.2)
    spec = spec_of(HEAD, BLOCKS)
    seen = []
    before = state_of(model)
    for checkpoint in fine_tune(model, DATA, spec=spec, capture_steps=(0, 5, 9)):
        seen.append({name.partition(".attention")[0].partition(".mlp")[0] for name in changed(before, model)})
        assert checkpoint.backbone is model
    head = {"classifier.weight", "classifier.bias"}
    assert seen == [set(), head, {"vit.layers.2", "vit.layers.3"} | head]


def test_batch_norms__keep_their_statistics() -> None:
    _model, learning, before = trained_family("resnet")
    norms = [name for name in before if "running_" in name or "num_batches" in name]
    assert norms
    assert all(torch.equal(before[name], learning.model.state_dict()[name]) for name in norms)


def test_features__are_equal_at_checkpoints_that_declare_it() -> None:
    spec = spec_of(ALL | {"steps": 2}, HEAD | {"steps": 2})
    model = backbone(dropout=0.2)
    probe = ImagesOnDevice(DATA, model, device=torch.device("cpu"))
    seen: dict[int, Tensor] = {}
    for checkpoint in fine_tune(model, DATA, spec=spec, capture_steps=range(5)):
        features = features_of(model, probe)
        assert torch.equal(seen.setdefault(checkpoint.backbone_changed_at, features), features)
    assert list(seen) == [0, 1, 2]


def test_features__computed_once_are_those_of_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head starts from the adapted model, not from the initial model."""
    spec = spec_of(ALL | {"steps": 3, "learning_rate": 1e-2}, HEAD | {"steps": 1})
    given = []
    model = backbone()
    probe = ImagesOnDevice(DATA, model, device=torch.device("cpu"))

    def watched(backbone: Backbone, *arguments: object, **options: object) -> Tensor:
        given.append(features_of(backbone, *arguments, **options))  # type: ignore[arg-type]
        return given[-1]

    monkeypatch.setattr("core.learn.trainer.features_of", watched)
    train(spec, model=model)
    torch.testing.assert_close(given[0], features_of(model, probe), rtol=1e-4, atol=1e-5)


def test_checkpoint__a_stored_one_embeds_equally_in_another_process(tmp_path: Path) -> None:
    model, _ = train(spec_of(ALL))
    save_weights(tmp_path / "weights.safetensors", model)
    elsewhere = backbone(seed=9)
    load_weights(tmp_path / "weights.safetensors", elsewhere)
    frames = [
        embed(one, ImagesOnDevice(DATA, one, device=torch.device("cpu")), step=0, epoch=0) for one in (model, elsewhere)
    ]
    np.testing.assert_array_equal(frames[0].embeddings, frames[1].embeddings)


def test_learning__counts_trained_parameters() -> None:
    """A block has four layers of 32 x 32 and two of 32 x 64; the head is 32 x 3 with a bias."""
    head, block = 32 * 3 + 3, 4 * (4 * (32 + 32)) + 2 * (4 * (32 + 64))
    plain = backbone(width=32)
    counts = [how_many_learn(plain, spec_of(*phases)) for phases in ((HEAD,), (HEAD, BLOCKS), (BLOCKS, ALL))]
    assert counts == [head, head + 2 * block, head + 4 * block]
    assert how_many_learn(plain, spec_of(ALL, lora=None)) == plain.parameters


SPEC = spec_of(HEAD, BLOCKS, ALL, log_every=2)
EVERY = tuple(range(SPEC.steps + 1))


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the state of every step, and the hash of the final weights."""
    folder = tmp_path_factory.mktemp("states")
    model, _ = train(SPEC, steps=EVERY, hooks=[Saving(folder)])
    return folder, weights_sha256(model.model)


@pytest.mark.parametrize("step", EVERY)
def test_resumed__at_any_step_ends_equally(states: tuple[Path, str], step: int) -> None:
    """The given model has the initial weights of the run, as in a worker."""
    folder, expected = states
    model, _ = train(SPEC, steps=EVERY, resume_from=StoredState.load(folder / str(step)))
    assert weights_sha256(model.model) == expected


def test_capture__does_not_change_the_training(states: tuple[Path, str]) -> None:
    model, _ = train(SPEC)
    assert weights_sha256(model.model) == states[1]


def test_the_seed__draws_the_adapters(states: tuple[Path, str]) -> None:
    first, again, other = (adapted(backbone(), spec_of(ALL, seed=seed)) for seed in (3, 3, 4))
    assert weights_sha256(first.model) == weights_sha256(again.model) != weights_sha256(other.model)


def test_state_of_another_rank__is_refused(states: tuple[Path, str]) -> None:
    stored = StoredState.load(states[0] / "9")
    for lora in (LORA | {"rank": 2}, None):
        model = backbone(dropout=0.2)
        before = weights_sha256(model.model)
        with pytest.raises(UnusableStateError, match="another model"):
            train(spec_of(HEAD, BLOCKS, ALL, lora=lora), model=model, resume_from=stored)
        assert weights_sha256(model.model) == before


def train_along(path: Path) -> None:
    """Train with the other processes, then again from the middle of each phase."""
    accelerator = Accelerator(mixed_precision="no")
    saved, pauses = path.parent / "states", (0, 3, 7, 12, 14)
    spec = spec_of(HEAD, BLOCKS | {"n_blocks": 1}, ALL, log_every=2)

    def trained(**options: object) -> Backbone:
        return train(
            spec, model=backbone(dropout=0.2, width=16, layers=1), steps=pauses, accelerator=accelerator, **options
        )[0]

    def save(state: LiveState) -> None:
        state.save(saved / str(state.step))

    hashes = [weights_sha256(trained(hooks=[Hook(on_pause=save)]).model)]
    accelerator.wait_for_everyone()
    hashes += [weights_sha256(trained(resume_from=StoredState.load(saved / str(step))).model) for step in pauses]
    path.with_suffix(".txt").write_text("\n".join(hashes))


def test_two_processes__end_equally_and_resume_at_any_step(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rank}.npy" for rank in range(2)]
    with together("tests.core.learn.test_lora", "train_along", paths):
        pass
    hashes = [line for path in paths for line in path.with_suffix(".txt").read_text().split()]
    assert len(hashes) == 2 * 6
    assert len(set(hashes)) == 1


def test_without_adapters__the_model_itself_learns() -> None:
    model = backbone()
    before = weights_sha256(model.model)
    assert adapted(model, TrainSpec()) is model
    merge(model, into=model)
    assert weights_sha256(model.model) == before


def test_a_worker_without_peft__names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InvalidSpecError, match=r"pip install 'embedreel\[lora\]'") as caught:
        train(spec_of(ALL))
    assert caught.value.field == "train.lora"
    train(spec_of(HEAD, lora=None))


def test_a_model_of_no_family__is_refused() -> None:
    config = BeitConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = BeitForImageClassification(config)
    grey = (0.5, 0.5, 0.5)
    beit = Backbone(model, model.classifier, 8, mean=grey, std=grey, model_id="some/beit", revision=None)
    with pytest.raises(InvalidSpecError, match=r"some/beit .*ViT, DeiT, DINOv2, Swin") as caught:
        adapted(beit, TrainSpec(lora=LoraSpec()))
    assert caught.value.field == "train.lora"
