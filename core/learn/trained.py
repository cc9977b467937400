"""Trained models as folders in Hugging Face format: what a run keeps, and what another begins with.

    config.json               architecture, and the names of the classes
    model.safetensors         all weights, float32, under the names of the architecture's published checkpoints
    preprocessor_config.json  how images were prepared while it learnt

`AutoModelForImageClassification.from_pretrained` and `AutoImageProcessor.from_pretrained` load it, but for VGG16-BN,
which transformers lacks: `core.learn.vgg.VGG16BNForImageClassification.from_pretrained` does.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from transformers import BitImageProcessorPil, PreTrainedModel

from core.domain.trained import CONFIG
from core.learn import hub
from core.learn.backbones import Backbone

_WHOLE = "1000GB"
"""Weights stay one file."""


def save(folder: Path, backbone: Backbone) -> None:
    """Write the model into a folder, from which `load` and transformers make the same model."""
    model: PreTrainedModel = backbone.model
    model.save_pretrained(folder, max_shard_size=_WHOLE)
    _processor(backbone).save_pretrained(folder)


def load(folder: Path, model_id: str, *, class_names: Sequence[str], seed: int) -> Backbone:
    """The model that `save` wrote, with its own head if that is of these very classes, else with a random one.

    The same arguments give the same weights; torch's own random state is left as it was.

    Args:
        folder: is only read.
        model_id: what the run calls its model, `run:run_…`.
        class_names: C names; C outputs.
        seed: of a new head.

    Raises:
        SourceUnavailableError: a file is damaged or cannot be read.
        UnusableModelError: the folder holds no image classifier.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = hub.load_classifier(folder, model_id, class_names=class_names)
        head = hub.classification_head(model, model_id, n_classes=len(class_names))
        if _class_names(folder) != list(class_names):
            _begin_anew(model, head)
    expected = hub.load_preprocessing(folder, model_id, image_size=None)
    return Backbone(
        model, head, expected.image_size, mean=expected.mean, std=expected.std, model_id=model_id, revision=None
    )


def _processor(backbone: Backbone) -> BitImageProcessorPil:
    """What was done to images while the model learnt: the shorter side scaled, the centre kept."""
    side = backbone.image_size
    return BitImageProcessorPil(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        resample=Image.Resampling.BICUBIC,
        do_center_crop=True,
        do_convert_rgb=True,
        image_mean=list(backbone.mean),
        image_std=list(backbone.std),
    )


def _class_names(folder: Path) -> list[str]:
    """In the order of the model's outputs."""
    names = json.loads((folder / CONFIG).read_text())["id2label"]
    return [names[label] for label in sorted(names, key=int)]


def _begin_anew(model: nn.Module, head: nn.Linear) -> None:
    """Draw the head's weights as the architecture draws those of a new model."""
    fresh = nn.Linear(head.in_features, head.out_features, bias=head.bias is not None)
    model._init_weights(fresh)  # type: ignore[operator]  # noqa: SLF001 - a loaded layer would be left as it is
    head.load_state_dict(fresh.state_dict())
