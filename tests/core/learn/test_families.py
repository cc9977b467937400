import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import nn
from transformers import (
    BeitConfig,
    BeitForImageClassification,
    DeiTForImageClassificationWithTeacher,
    Dinov2Model,
    ViTModel,
)

from core.domain.families import FAMILIES
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.errors import SourceUnavailableError, UnusableModelError
from core.learn.backbones import Backbone, create
from core.learn.embed import embed, load_weights, save_weights
from core.learn.families import blocks, classifier_class
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.learn.vgg import VGG16BNConfig, VGG16BNForImageClassification
from tests.core.learn.offline_hub import MODEL_ID, save_processor
from tests.core.learn.small_families import CONFIGS, SIDE, SMALL, TOKENS

CLASSES = ("cat", "dog", "fox")
every_family = pytest.mark.parametrize("model_type", FAMILIES)


def test_families__each_has_a_small_model_and_a_class() -> None:
    assert SMALL.keys() == FAMILIES.keys()
    for family in FAMILIES.values():
        assert classifier_class(family).config_class.model_type == family.model_type
        assert family.weights_files is None or import_module(family.module).published_weights


@pytest.fixture
def saved(model_type: str, snapshot: Path) -> nn.Module:
    """Return a random classifier of the family, and the checkpoint in which it is saved."""
    torch.manual_seed(3)
    model = classifier_class(FAMILIES[model_type])(CONFIGS[model_type]).eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):  # the loss of constant buffers would not be detected
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 1.5)
    model.save_pretrained(snapshot)
    save_processor(snapshot, size={"height": SIDE, "width": SIDE})
    return model


def load(cache_dir: Path, *, class_names: tuple[str, ...] = CLASSES, seed: int = 0) -> Backbone:
    backbone = create(
        MODEL_ID,
        class_names=class_names,
        native_image_size=SIDE,
        seed=seed,
        allowed_models=(MODEL_ID,),
        cache_dir=cache_dir,
    )
    backbone.model.eval()
    return backbone


def images(n_images: int = 4, *, side: int = SIDE) -> torch.Tensor:
    return torch.randn(n_images, 3, side, side, generator=torch.Generator().manual_seed(1))


@every_family
def test_features__are_pooled_as_the_registry_declares(model_type: str, saved: nn.Module, tmp_path: Path) -> None:
    backbone = load(tmp_path)
    with torch.inference_mode():
        features, logits = backbone.features_and_logits(images())
        torch.testing.assert_close(features, SMALL[model_type].pooled(backbone.model, images()))
        torch.testing.assert_close(logits, backbone.head(features))
    assert torch.isfinite(features).all()
    assert features.shape == (4, SMALL[model_type].width) == (4, backbone.width)
    assert logits.shape == (4, 3)
    assert backbone.image_size == SIDE


@every_family
def test_checkpoint__computes_like_the_saved_model(model_type: str, saved: nn.Module, tmp_path: Path) -> None:
    with torch.inference_mode():
        _features, logits = load(tmp_path, class_names=("a", "b")).features_and_logits(images())
        torch.testing.assert_close(logits, saved(images()).logits)


@every_family
def test_weights__embed_equally_in_another_process(model_type: str, saved: nn.Module, tmp_path: Path) -> None:
    here, elsewhere = load(tmp_path, seed=1), load(tmp_path, seed=2)
    save_weights(tmp_path / "weights.safetensors", here)
    load_weights(tmp_path / "weights.safetensors", elsewhere)
    with torch.inference_mode():
        for ours, theirs in zip(*(model.features_and_logits(images()) for model in (here, elsewhere)), strict=True):
            assert torch.equal(ours, theirs)


@every_family
def test_training__changes_every_parameter_and_embeds(model_type: str, saved: nn.Module, tmp_path: Path) -> None:
    backbone = load(tmp_path)
    rng = np.random.default_rng(0)
    data = LabelledImages(rng.integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8), np.arange(8) % 3)
    before = {name: weights.detach().clone() for name, weights in backbone.model.named_parameters()}
    spec = TrainSpec(steps=1, batch_size=8, learning_rate=1e-2)
    for checkpoint in fine_tune(backbone, data, spec=spec, capture_steps=(0, 1), accelerator=Accelerator(cpu=True)):
        probe = ImagesOnDevice(data, backbone, device=backbone.device)
        frame = embed(backbone, probe, step=checkpoint.step, epoch=checkpoint.epoch)
        assert frame.embeddings.shape == (8, SMALL[model_type].width)
    unchanged = [name for name, weights in backbone.model.named_parameters() if torch.equal(weights, before[name])]
    assert unchanged == []


@every_family
def test_blocks__hold_every_parameter_once_from_the_input_to_the_head(
    model_type: str, saved: nn.Module, tmp_path: Path
) -> None:
    backbone = load(tmp_path)
    found = blocks(backbone.model)
    held = [id(weights) for block in found for weights in block.parameters]
    assert held == [id(weights) for weights in backbone.model.parameters()]
    assert [block.name for block in found] == SMALL[model_type].blocks
    assert any(part is backbone.head for module in found[-1].modules for part in module.modules())


@every_family
def test_blocks__run_one_after_another(model_type: str, saved: nn.Module) -> None:
    found = blocks(saved)
    seen: list[str] = []
    for block in found:
        block.modules[0].register_forward_hook(lambda *_given, name=block.name: seen.append(name))
    with torch.inference_mode():
        saved(images())
    assert seen == [block.name for block in found]


def test_blocks__of_vgg_are_a_convolution_with_its_norm() -> None:
    first = blocks(VGG16BNForImageClassification(CONFIGS["vgg16_bn"]))[0]
    assert [type(module) for module in first.modules] == [nn.Conv2d, nn.BatchNorm2d]


@pytest.mark.parametrize(("model_type", "headless"), [("vit", ViTModel), ("dinov2", Dinov2Model)])
def test_dino__gets_a_head_that_it_was_saved_without(
    model_type: str, headless: type[nn.Module], snapshot: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    model = headless(CONFIGS[model_type])
    model.save_pretrained(snapshot)
    save_processor(snapshot)
    backbone, again, other = load(tmp_path, seed=1), load(tmp_path, seed=1), load(tmp_path, seed=2)
    assert torch.equal(backbone.head.weight, again.head.weight)
    assert not torch.equal(backbone.head.weight, other.head.weight)
    for name, weights in getattr(backbone.model, model_type).state_dict().items():
        assert torch.equal(weights, model.state_dict()[name]), name


def test_dinov2__takes_the_input_that_its_preprocessing_asks_for(snapshot: Path, tmp_path: Path) -> None:
    """The checkpoint on the hub has position embeddings for 518 pixels, and its processor crops to 224."""
    Dinov2Model(CONFIGS["dinov2"]).save_pretrained(snapshot)
    save_processor(snapshot, size={"height": 16, "width": 16})
    backbone = load(tmp_path)
    assert backbone.image_size == 16
    assert backbone.model(images(2, side=16)).logits.shape == (2, 3)


def test_deit__that_was_distilled_gets_one_head_on_the_class_token(snapshot: Path, tmp_path: Path) -> None:
    distilled = DeiTForImageClassificationWithTeacher(CONFIGS["deit"]).eval()
    distilled.save_pretrained(snapshot)
    save_processor(snapshot)
    backbone = load(tmp_path)
    with torch.inference_mode():
        features, _logits = backbone.features_and_logits(images())
        torch.testing.assert_close(features, distilled.deit(images()).last_hidden_state[:, 0])


def test_vgg__has_the_names_and_shapes_that_torchvision_published() -> None:
    with torch.device("meta"):
        model = VGG16BNForImageClassification(VGG16BNConfig(num_labels=1000))
    shapes = {name: tuple(weights.shape) for name, weights in model.named_parameters()}
    assert sum(weights.numel() for weights in model.parameters()) == 138_365_992
    assert list(shapes)[:4] == ["features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"]
    assert shapes["features.40.weight"] == (512, 512, 3, 3)
    assert shapes["features.41.weight"] == (512,)
    assert shapes["classifier.0.weight"] == (4096, 25088)
    assert shapes["classifier.6.weight"] == (1000, 4096)


def published(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a state as published in 2017, when BatchNorm did not count batches."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("model_type", ["vgg16_bn"])
@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_vgg__published_weights(form: str, model_type: str, saved: nn.Module, snapshot: Path, tmp_path: Path) -> None:
    (snapshot / "model.safetensors").unlink()
    if form == "pth":
        torch.save(published(saved), snapshot / "vgg16_bn-6c64b313.pth")
    else:
        save_file(published(saved), snapshot / "model.safetensors")
    with torch.inference_mode():
        _features, logits = load(tmp_path, class_names=("a", "b")).features_and_logits(images())
        torch.testing.assert_close(logits, saved(images()).logits)
    assert load(tmp_path).head.out_features == 3


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("code of the file ran",)


@pytest.mark.parametrize("model_type", ["vgg16_bn"])
def test_vgg__a_file_with_more_than_tensors_is_refused(
    model_type: str, saved: nn.Module, snapshot: Path, tmp_path: Path
) -> None:
    (snapshot / "model.safetensors").unlink()
    torch.save({"features.0.weight": Trap()}, snapshot / "vgg16_bn.pth")
    with pytest.raises(UnusableModelError, match="could not be loaded"):
        load(tmp_path)


@pytest.mark.parametrize("model_type", ["vit"])
def test_vgg__its_file_serves_no_other_family(
    model_type: str, saved: nn.Module, snapshot: Path, tmp_path: Path
) -> None:
    (snapshot / "model.safetensors").unlink()
    torch.save(saved.state_dict(), snapshot / "vgg16_bn.pth")
    with pytest.raises(SourceUnavailableError, match="could not be loaded"):
        load(tmp_path)


def test_a_family_that_is_not_registered__trains_but_has_no_blocks(snapshot: Path, tmp_path: Path) -> None:
    BeitForImageClassification(BeitConfig(**TOKENS)).save_pretrained(snapshot)
    save_processor(snapshot)
    backbone = load(tmp_path)
    assert backbone.model(images()).logits.shape == (4, 3)
    with pytest.raises(UnusableModelError, match=r"'beit' are not supported.*ViT, DeiT, DINOv2, Swin") as caught:
        blocks(backbone.model)
    assert caught.value.field == "model"


@pytest.mark.parametrize("model_type", ["vit"])
def test_a_config_without_its_type_is_refused(
    model_type: str, saved: nn.Module, snapshot: Path, tmp_path: Path
) -> None:
    config = json.loads((snapshot / "config.json").read_text())
    del config["model_type"]
    (snapshot / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnusableModelError):
        load(tmp_path)
