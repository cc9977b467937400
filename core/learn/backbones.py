"""The model of a run: a vision classifier, what its features are, and how its input is prepared.

Features are what the classification head is given: for vision transformers (ViT, DeiT) the class token (CLS)
after the final norm; for other architectures whatever they pool to, such as the mean of patches (Swin, BEiT)
or the global average pool (ResNet, ConvNeXt). So features are always (N, D), and one linear layer away from
the logits. The registry, `core.domain.families`, says it for each family.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from core.domain.families import FAMILIES
from core.domain.models import PRESETS, Preset, require_known
from core.learn import families, hub


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A classifier and how its input is prepared. The record is frozen; the weights of its model are not.

    Attributes:
        model: `model(pixel_values).logits`: (B, 3, S, S) float32, normalised -> (B, C). It is as transformers built
            it; `core.learn.fast_forward` speeds it up for a while.
        head: the last linear layer of the model.
        image_size: S, side of the square input, pixels.
        mean: of each channel, on the scale 0..1.
        std: of each channel, on the scale 0..1.
        model_id: a preset's name or the id on the hub.
        revision: the commit on the hub; None for a preset.
    """

    model: nn.Module
    head: nn.Linear
    image_size: int
    mean: hub.Channels
    std: hub.Channels
    model_id: str
    revision: str | None

    @property
    def width(self) -> int:
        """D, features of an embedding."""
        return self.head.in_features

    @property
    def parameters(self) -> int:
        """How many numbers training changes."""
        return sum(weights.numel() for weights in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def features_and_logits(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass: (B, 3, S, S) normalised -> features (B, D), logits (B, C)."""
        given: list[Tensor] = []
        watch = self.head.register_forward_pre_hook(lambda _head, inputs: given.append(inputs[0]))
        try:
            logits: Tensor = self.model(pixel_values).logits
        finally:
            watch.remove()
        return given[-1], logits


def create(
    model: str,
    *,
    class_names: Sequence[str],
    native_image_size: int,
    seed: int,
    allowed_models: Sequence[str],
    revision: str | None = None,
    cache_dir: Path | None = None,
) -> Backbone:
    """A preset with random weights, or a checkpoint from the hub with a head for these classes.

    The same arguments give the same weights; torch's own random state is left as it was.

    Args:
        model: a preset's name or an id on the hub.
        class_names: C names; C outputs.
        native_image_size: side of the dataset's images, pixels; presets choose their input by it.
        seed: of all random weights.
        allowed_models: ids on the hub that the operator allows.
        revision: commit to load; None means the newest. Presets have none.
        cache_dir: where hub files are kept; None means the cache of huggingface_hub.

    Raises:
        UnknownModelError: `model` is neither a preset nor allowed.
        SourceUnavailableError: the checkpoint cannot be fetched or read.
        UnusableModelError: it is no image classifier that can be trained here.
    """
    require_known(model, allowed_models)
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU, whatever trains them
        torch.default_generator.manual_seed(seed)
        if model in PRESETS:
            return _preset(model, class_names=class_names, native_image_size=native_image_size)
        return _checkpoint(model, class_names=class_names, revision=revision, cache_dir=cache_dir)


def _preset(name: str, *, class_names: Sequence[str], native_image_size: int) -> Backbone:
    preset = PRESETS[name]
    side = preset.input_for(native_image_size)
    config = preset_config(preset, class_names=class_names, image_size=side)
    model = families.classifier_class(FAMILIES[preset.model_type])(config)
    head = hub.classification_head(model, name, n_classes=len(class_names))
    grey = (0.5, 0.5, 0.5)
    return Backbone(model, head, side, mean=grey, std=grey, model_id=name, revision=None)


def preset_config(preset: Preset, *, class_names: Sequence[str], image_size: int) -> PreTrainedConfig:
    """The preset in the words of transformers, at one of its inputs."""
    names = dict(enumerate(class_names))
    return families.classifier_class(FAMILIES[preset.model_type]).config_class(
        **preset.config,
        **preset.inputs[image_size],
        id2label=names,
        label2id={name: label for label, name in names.items()},
    )


def _checkpoint(model_id: str, *, class_names: Sequence[str], revision: str | None, cache_dir: Path | None) -> Backbone:
    folder = hub.fetch(model_id, revision=revision, cache_dir=cache_dir)
    model = hub.load_classifier(folder, model_id, class_names=class_names)
    expected = hub.load_preprocessing(folder, model_id, image_size=_only_input(model))
    return Backbone(
        model,
        hub.classification_head(model, model_id, n_classes=len(class_names)),
        expected.image_size,
        mean=expected.mean,
        std=expected.std,
        model_id=model_id,
        revision=folder.name,
    )


def _only_input(model: nn.Module) -> object:
    """The input size that the model insists on, or None where its preprocessing decides."""
    family = families.family_of(model)
    return None if family and family.any_input else getattr(model.config, "image_size", None)
