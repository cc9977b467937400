import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoModelForImageClassification,
    BertConfig,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from core.domain.families import FAMILIES
from core.domain.models import KNOWN_CHECKPOINTS, PRESETS, known_models
from core.domain.spec import LoraSpec, TrainSpec
from core.errors import SourceUnavailableError, UnknownModelError, UnusableModelError
from core.learn.backbones import Backbone, create
from core.learn.datasets import load_probe_set, load_training_images, open_source
from core.learn.describe import PUBLISHED, without_weights
from core.learn.embed import embed, weights_sha256
from core.learn.fast_forward import fast_forward
from core.learn.fine_tune import fine_tune
from core.learn.hub import classification_head
from core.learn.lora import adapted
from core.learn.pixels import ImagesOnDevice
from tests.core.learn.offline_hub import COMMIT, MODEL_ID, save_processor

OTHER_COMMIT = "f" * 40
CLASSES = ("cat", "dog", "fox")

REPEATED = ("ViTLayer", "Dinov2Layer", "SwinLayer", "ConvNextLayer", "ResNetBasicLayer", "ResNetBottleNeckLayer")


def tiny_config(n_labels: int = 5, **changes: object) -> ViTConfig:
    options = {
        "image_size": 16,
        "patch_size": 8,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_labels": n_labels,
    }
    return ViTConfig(**(options | changes))


@pytest.fixture
def checkpoint(snapshot: Path) -> Path:
    torch.manual_seed(3)
    ViTForImageClassification(tiny_config()).save_pretrained(snapshot)
    save_processor(snapshot)
    return snapshot


def load(cache_dir: Path, **changes: object) -> Backbone:
    options: dict[str, object] = {
        "class_names": CLASSES,
        "native_image_size": 32,
        "seed": 0,
        "allowed_models": (MODEL_ID,),
        "cache_dir": cache_dir,
    }
    return create(MODEL_ID, **(options | changes))


def preset(name: str = "vit-tiny", *, native: int = 8, seed: int = 0) -> Backbone:
    return create(name, class_names=CLASSES, native_image_size=native, seed=seed, allowed_models=())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("native", [8, 28, 500])
def test_preset__has_the_input_size_of_the_table(name: str, native: int) -> None:
    backbone = preset(name, native=native)
    side = PRESETS[name].input_for(native)
    assert (backbone.image_size, backbone.revision) == (side, None)
    features, logits = backbone.features_and_logits(torch.randn(1, 3, side, side))  # a batch of one image
    assert (features.shape, logits.shape) == ((1, backbone.width), (1, 3))


@pytest.mark.parametrize("name", PRESETS)
def test_preset__has_the_layers_of_the_table(name: str) -> None:
    [card] = [card for card in known_models(()) if card.id == name]
    assert card.layers == sum(type(part).__name__ in REPEATED for part in preset(name).model.modules())


@pytest.mark.parametrize(("name", "width", "depth"), [("vit-tiny", 128, 4), ("vit-small", 256, 6)])
@pytest.mark.parametrize(("side", "patch"), [(8, 2), (16, 2), (32, 4), (64, 8)])
def test_preset__vision_transformers_are_unchanged(name: str, width: int, depth: int, side: int, patch: int) -> None:
    labels = dict(enumerate(CLASSES))
    config = ViTConfig(
        image_size=side,
        patch_size=patch,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        intermediate_size=2 * width,
        initializer_range=width**-0.5,
        id2label=labels,
        label2id={name: label for label, name in labels.items()},
    )
    made = preset(name, native=side, seed=7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        oracle = ViTForImageClassification(config)
    assert made.model.config.to_dict() == oracle.config.to_dict()
    assert weights_sha256(made.model) == weights_sha256(oracle)
    assert made.head is made.model.classifier


@pytest.mark.parametrize("name", PRESETS)
def test_preset__learns_to_read(name: str) -> None:
    """Forty small steps do not suffice to read well, but chance is a tenth."""
    source = open_source("digits", uploaded=None, allowed_hub=())
    backbone = create(name, class_names=source.facts.class_names, native_image_size=8, seed=0, allowed_models=())
    side = backbone.image_size
    images = load_training_images(source, train_size=None, size=side, seed=0)
    probe = load_probe_set(source, probe_size=200, size=side, seed=0)
    seen = ImagesOnDevice(probe, backbone, device=torch.device("cpu"))
    spec = TrainSpec(steps=40, batch_size=32)
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    before, after = (
        embed(checkpoint.backbone, seen, step=checkpoint.step, epoch=checkpoint.epoch).accuracy
        for checkpoint in fine_tune(backbone, images, spec=spec, capture_steps=(0, 40), accelerator=accelerator)
    )
    assert before < 0.25
    assert after > 0.5


def test_known_models__describes_presets_and_allowed_checkpoints() -> None:
    cards = {card.id: card for card in known_models((*KNOWN_CHECKPOINTS, MODEL_ID))}
    assert (cards["vit-tiny"].kind, cards["vit-tiny"].family) == ("preset", "ViT")
    assert (cards["resnet-tiny"].kind, cards["resnet-tiny"].family) == ("preset", "ResNet")
    assert (cards["microsoft/resnet-50"].kind, cards["microsoft/resnet-50"].family) == ("hub", "ResNet")
    assert cards[MODEL_ID].kind == "hub"
    assert (cards[MODEL_ID].parameters, cards[MODEL_ID].family) == (None, None)


@pytest.mark.parametrize("model_id", KNOWN_CHECKPOINTS)
def test_known_models__have_the_numbers_of_the_published_config(model_id: str) -> None:
    card = next(card for card in known_models((model_id,)) if card.id == model_id)
    family = FAMILIES[PUBLISHED[model_id].model_type]
    model = without_weights(PUBLISHED[model_id])
    assert card.parameters == sum(weights.numel() for weights in model.parameters())
    assert card.width == classification_head(model, model_id, n_classes=10).in_features
    assert card.layers == sum(type(part).__name__ in REPEATED for part in model.modules())
    assert (card.family, card.pooling) == (family.name, family.pooling)


def test_known_models__needs_no_torch() -> None:
    code = "import sys, core.domain.models, core.domain.layers; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_preset__follows_its_seed_and_leaves_torch_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = preset(seed=1), preset(seed=1), preset(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_features__are_the_class_token_after_the_final_norm() -> None:
    backbone = preset()
    oracle = ViTModel(backbone.model.config, add_pooling_layer=False).eval()
    oracle.load_state_dict(backbone.model.vit.state_dict())
    pixels = torch.randn(4, 3, 8, 8)
    with torch.inference_mode():
        features, logits = backbone.features_and_logits(pixels)
        torch.testing.assert_close(features, oracle(pixels).last_hidden_state[:, 0])
        assert torch.equal(logits, backbone.head(features))
        assert torch.equal(logits, backbone.model(pixels).logits)
    assert features.shape == (4, backbone.width)
    assert logits.shape == (4, 3)


def test_model__computes_nothing_that_the_head_does_not_read() -> None:
    outputs: list[Tensor] = []
    for backbone in (made := preset(), adapted(made, TrainSpec(lora=LoraSpec()))):
        last = backbone.model.get_submodule("vit.layers.3")
        last.register_forward_hook(lambda _layer, _given, output: outputs.append(output))
        with fast_forward(backbone.model):
            backbone.model(torch.zeros(2, 3, 8, 8))
    assert [output.shape for output in outputs] == [(2, 1, made.width)] * 2


def test_create__an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(UnknownModelError, match=f"{', '.join(PRESETS)}, somebody/tiny-vit") as caught:
        create("bert", class_names=CLASSES, native_image_size=8, seed=0, allowed_models=(MODEL_ID,))
    assert caught.value.field == "model"


def test_create__hub_model_that_is_not_allowed() -> None:
    with pytest.raises(UnknownModelError):
        create(MODEL_ID, class_names=CLASSES, native_image_size=8, seed=0, allowed_models=())


def test_checkpoint__brings_weights_commit_and_preprocessing(checkpoint: Path, tmp_path: Path) -> None:
    backbone = load(tmp_path)
    saved = AutoModelForImageClassification.from_pretrained(checkpoint)
    assert backbone.revision == COMMIT
    assert backbone.model_id == MODEL_ID
    assert backbone.image_size == 16  # the position embeddings determine the size, not the processor's 20
    assert (backbone.mean, backbone.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert backbone.width == 24
    assert backbone.head.out_features == 3
    assert backbone.model.config.id2label == {0: "cat", 1: "dog", 2: "fox"}
    for name, weights in saved.vit.state_dict().items():
        assert torch.equal(backbone.model.vit.state_dict()[name], weights), name


def test_checkpoint__has_a_seeded_new_head(checkpoint: Path, tmp_path: Path) -> None:
    first, again, other = (load(tmp_path, seed=seed).head.weight for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_checkpoint__keeps_a_head_that_fits(checkpoint: Path, tmp_path: Path) -> None:
    backbone = load(tmp_path, class_names=tuple("abcde"))
    saved = AutoModelForImageClassification.from_pretrained(checkpoint)
    assert torch.equal(backbone.head.weight, saved.classifier.weight)


def test_checkpoint__the_recorded_commit_loads_again(checkpoint: Path, tmp_path: Path) -> None:
    assert load(tmp_path, revision=COMMIT).revision == COMMIT


@pytest.mark.parametrize("revision", [OTHER_COMMIT, "v2"])
def test_checkpoint__another_revision_is_refused(checkpoint: Path, tmp_path: Path, revision: str) -> None:
    with pytest.raises(SourceUnavailableError, match=f"{MODEL_ID} at revision {revision} could not be fetched"):
        load(tmp_path, revision=revision)


def test_checkpoint__hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceUnavailableError, match="then retry the run"):
        load(tmp_path)


def test_checkpoint__a_local_folder_of_that_name_is_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    ViTForImageClassification(tiny_config()).save_pretrained(tmp_path / MODEL_ID)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceUnavailableError):
        load(tmp_path / "cache")


def test_checkpoint__without_safetensors(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(UnusableModelError, match="has no safetensors"):
        load(tmp_path)


def test_checkpoint__not_an_image_classifier(checkpoint: Path, tmp_path: Path) -> None:
    BertConfig(hidden_size=8, num_attention_heads=1).save_pretrained(checkpoint)
    with pytest.raises(UnusableModelError, match="image-classification model"):
        load(tmp_path)


def test_checkpoint__that_needs_its_own_code_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnusableModelError, match="image-classification model"):
        load(tmp_path)


def test_checkpoint__with_a_broken_config(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))
    with pytest.raises(UnusableModelError):
        load(tmp_path)


def test_checkpoint__whose_inner_weights_do_not_fit(checkpoint: Path, tmp_path: Path) -> None:
    tiny_config(num_hidden_layers=3).save_pretrained(checkpoint)
    with pytest.raises(UnusableModelError, match="lacks 16 weights"):
        load(tmp_path)


def test_checkpoint__cut_short(checkpoint: Path, tmp_path: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(SourceUnavailableError):
        load(tmp_path)


def test_checkpoint__that_was_saved_without_a_head_by_an_older_version(snapshot: Path, tmp_path: Path) -> None:
    """Like google/vit-base-patch16-224-in21k: a base model with a pooler, with the parameter names of 2021."""
    torch.manual_seed(4)
    saved = ViTModel(tiny_config())
    tiny_config().save_pretrained(snapshot)
    save_file(
        {_name_of_2021(name): weights for name, weights in saved.state_dict().items()}, snapshot / "model.safetensors"
    )
    save_processor(snapshot)
    backbone = load(tmp_path).model.vit.state_dict()
    assert backbone
    for name, weights in backbone.items():
        assert torch.equal(weights, saved.state_dict()[name]), name


def _name_of_2021(name: str) -> str:
    for new, old in (
        ("layers.", "encoder.layer."),
        ("attention.q_proj", "attention.attention.query"),
        ("attention.k_proj", "attention.attention.key"),
        ("attention.v_proj", "attention.attention.value"),
        ("attention.o_proj", "attention.output.dense"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
    ):
        name = name.replace(new, old)
    return name


def test_checkpoint__without_preprocessing(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "preprocessor_config.json").unlink()
    with pytest.raises(UnusableModelError, match="preprocess"):
        load(tmp_path)


def test_checkpoint__that_does_not_normalise(checkpoint: Path, tmp_path: Path) -> None:
    save_processor(checkpoint, do_normalize=False)
    backbone = load(tmp_path)
    assert (backbone.mean, backbone.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_checkpoint__of_a_convolutional_network(snapshot: Path, tmp_path: Path) -> None:
    """Features are the global average pool. The input size is the crop size of the processor."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[4, 12], depths=[1, 1], layer_type="basic", num_labels=7)
    ResNetForImageClassification(config).save_pretrained(snapshot)
    save_processor(snapshot, size={"shortest_edge": 40}, do_center_crop=True, crop_size={"height": 32, "width": 32})
    backbone = load(tmp_path)
    backbone.model.eval()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        features, logits = backbone.features_and_logits(pixels)
        pooled = backbone.model.resnet(pixels).last_hidden_state.mean(dim=(2, 3))
    assert backbone.image_size == 32
    torch.testing.assert_close(features, pooled)
    assert (features.shape, logits.shape) == ((2, 12), (2, 3))


def test_checkpoint__without_crop_takes_the_size_it_scales_to(snapshot: Path, tmp_path: Path) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[4, 12], depths=[1, 1], layer_type="basic", num_labels=7)
    ResNetForImageClassification(config).save_pretrained(snapshot)
    save_processor(snapshot, size={"shortest_edge": 40})
    assert load(tmp_path).image_size == 40
