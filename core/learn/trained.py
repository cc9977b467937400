"""Trained models as folders in Hugging Face format: a run keeps such a folder, and another run can start from it.

    config.json               architecture, and the names of the classes
    model.safetensors         all weights, float32, under the names of the architecture's published checkpoints
    preprocessor_config.json  preprocessing of the images during training

`AutoModelForImageClassification.from_pretrained` and `AutoImageProcessor.from_pretrained` load a folder. VGG16-BN is
not in transformers: `core.learn.vgg.VGG16BNForImageClassification.from_pretrained` loads its folders.
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
"""Maximal size of a file of weights, larger than any model, so that all weights are in one file."""


def save(folder: Path, backbone: Backbone) -> None:
    """Write the model into a folder, from which `load` and transformers load the same model.

    Args:
        folder: created, if it does not exist.
        backbone: the model.
    """
    model: PreTrainedModel = backbone.model
    model.save_pretrained(folder, max_shard_size=_WHOLE)
    _processor(backbone).save_pretrained(folder)


def load(folder: Path, model_id: str, *, class_names: Sequence[str], seed: int) -> Backbone:
    """Load the model that `save` wrote, with its own head if the class names are equal, else with a random head.

    The same arguments give the same weights; torch's global random state does not change.

    Args:
        folder: the folder; not changed.
        model_id: `model` in the run's spec, `run:run_…`; the model's name in error messages.
        class_names: C names; the model has C outputs.
        seed: seed of a random head.

    Returns:
        The model, on the CPU.

    Raises:
        SourceUnavailableError: a file is damaged or cannot be read.
        UnusableModelError: the folder contains no usable image classifier.
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
    """The preprocessing of the images during training: scaling of the shorter side, centre crop, normalisation."""
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
    """The class names in the order of the model's outputs."""
    names = json.loads((folder / CONFIG).read_text())["id2label"]
    return [names[label] for label in sorted(names, key=int)]


def _begin_anew(model: nn.Module, head: nn.Linear) -> None:
    """Replace the head's weights by random weights, from the distribution of the architecture's new heads."""
    fresh = nn.Linear(head.in_features, head.out_features, bias=head.bias is not None)
    model._init_weights(fresh)  # type: ignore[operator]  # noqa: SLF001 - it does not change weights that were loaded
    head.load_state_dict(fresh.state_dict())
