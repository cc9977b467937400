import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from core.domain.families import FAMILIES
from core.domain.models import PRESETS
from core.domain.sources import LabelledImages
from core.domain.trained import CONFIG, PREPROCESSOR, WEIGHTS
from core.errors import SourceUnavailableError
from core.learn import trained
from core.learn.backbones import Backbone, create
from core.learn.embed import weights_sha256
from core.learn.families import classifier_class
from core.learn.fast_forward import fast_forward
from core.learn.hub import classification_head
from core.learn.pixels import ImagesOnDevice
from tests.core.learn.offline_hub import as_its_user_loads_it
from tests.core.learn.small_families import CONFIGS

CLASSES = ("cat", "dog", "fox")
MODEL = "run:run_1"
SIDE = 32


def preset(name: str = "vit-tiny") -> Backbone:
    backbone = create(name, class_names=CLASSES, native_image_size=8, seed=5, allowed_models=())
    backbone.model.eval()
    return backbone


def of_family(model_type: str) -> Backbone:
    torch.manual_seed(3)
    config = type(CONFIGS[model_type])(**CONFIGS[model_type].to_dict() | FAMILIES[model_type].config)
    config.id2label, config.label2id = dict(enumerate(CLASSES)), {name: at for at, name in enumerate(CLASSES)}
    model = classifier_class(FAMILIES[model_type])(config).eval()
    head = classification_head(model, MODEL, n_classes=3)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    return Backbone(model, head, SIDE, mean=mean, std=std, model_id=MODEL, revision=None)


def saved(folder: Path, backbone: Backbone) -> Path:
    trained.save(folder, backbone)
    return folder


def images(side: int, n_images: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n_images, side, side, 3), dtype=np.uint8)


def pixel_values(backbone: Backbone, pictures: np.ndarray) -> torch.Tensor:
    data = LabelledImages(pictures, np.zeros(len(pictures), np.int64))
    return ImagesOnDevice(data, backbone, device=torch.device("cpu")).pixel_values(slice(None))


def test_save__equals_a_checkpoint_of_the_hub(tmp_path: Path) -> None:
    folder = saved(tmp_path, preset())
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS, PREPROCESSOR]
    config = json.loads((folder / CONFIG).read_text())
    assert config["id2label"] == {"0": "cat", "1": "dog", "2": "fox"}
    assert config["architectures"] == ["ViTForImageClassification"]


@pytest.mark.parametrize("model_type", FAMILIES)
def test_save__from_pretrained_gives_the_same_weights_and_logits(model_type: str, tmp_path: Path) -> None:
    live = of_family(model_type)
    folder = saved(tmp_path, live)
    loaded = as_its_user_loads_it(folder, model_type).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    seen = pixel_values(live, images(SIDE))
    assert weights_sha256(loaded) == weights_sha256(live.model)
    with torch.inference_mode():
        expected = live.model(seen).logits
        assert torch.equal(loaded(seen).logits, expected)
        prepared = processor([Image.fromarray(one) for one in images(SIDE)], return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(prepared, seen)
        torch.testing.assert_close(loaded(prepared).logits, expected)
        with fast_forward(loaded), fast_forward(live.model):
            assert torch.equal(loaded(seen).logits, live.model(seen).logits)
    assert loaded.config.id2label == dict(enumerate(CLASSES))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_load__is_the_model_that_was_saved(model_type: str, tmp_path: Path) -> None:
    live = of_family(model_type)
    loaded = trained.load(saved(tmp_path, live), MODEL, class_names=CLASSES, seed=9)
    assert weights_sha256(loaded.model) == weights_sha256(live.model)
    assert (loaded.image_size, loaded.mean, loaded.std) == (live.image_size, live.mean, live.std)
    assert (loaded.model_id, loaded.revision) == (MODEL, None)


@pytest.mark.parametrize("name", PRESETS)
def test_load__of_a_preset(name: str, tmp_path: Path) -> None:
    live = preset(name)
    loaded = trained.load(saved(tmp_path, live), MODEL, class_names=CLASSES, seed=9)
    assert weights_sha256(loaded.model) == weights_sha256(live.model)
    assert (loaded.image_size, loaded.width) == (live.image_size, live.width)


def test_load__of_a_loaded_model(tmp_path: Path) -> None:
    once = trained.load(saved(tmp_path / "once", preset()), MODEL, class_names=CLASSES, seed=1)
    twice = trained.load(saved(tmp_path / "twice", once), "run:run_2", class_names=CLASSES, seed=1)
    assert weights_sha256(twice.model) == weights_sha256(preset().model)


@pytest.mark.parametrize("class_names", [("cat", "dog", "wolf"), ("dog", "cat", "fox"), ("cat",), tuple("abcdef")])
def test_load__other_classes_get_a_new_head(class_names: tuple[str, ...], tmp_path: Path) -> None:
    live, folder = preset(), saved(tmp_path, preset())
    before = torch.random.get_rng_state()
    one, again = (trained.load(folder, MODEL, class_names=class_names, seed=1) for _ in range(2))
    other = trained.load(folder, MODEL, class_names=class_names, seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.model.config.id2label == dict(enumerate(class_names))
    assert one.head.out_features == len(class_names)
    assert torch.equal(one.head.weight, again.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert one.head.weight.std().item() == pytest.approx(live.model.config.initializer_range, rel=0.3)
    assert not one.head.bias.any()
    if len(class_names) == len(CLASSES):
        assert not torch.equal(one.head.weight, live.head.weight)
    inner = [name for name in live.model.state_dict() if not name.startswith("classifier")]
    for name in inner:
        assert torch.equal(one.model.state_dict()[name], live.model.state_dict()[name])


def test_load__damaged_weights(tmp_path: Path) -> None:
    folder = saved(tmp_path, preset())
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(SourceUnavailableError, match="run:run_1 could not be loaded"):
        trained.load(folder, MODEL, class_names=CLASSES, seed=0)
