"""The model of a run: a vision classifier with its classification head and the preprocessing of its input.

Penultimate features are the input of the classification head. For vision transformers (ViT, DeiT) they are the class
token (CLS) after the final norm. For other architectures they are the pooled features, such as the mean of the patch
tokens (Swin, BEiT) or the global average pool (ResNet, ConvNeXt). So features are always (N, D), and one linear layer
maps them to the logits. The registry `core.domain.families` names the pooling of each family.
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
    """A classifier and the preprocessing of its input. The dataclass is frozen, but the weights of the model change.

    Attributes:
        model: `model(pixel_values).logits` maps (B, 3, S, S) float32, normalised, to (B, C). The model is unchanged
            from transformers; inside the context `core.learn.fast_forward` it is faster.
        head: the last linear layer of the model.
        image_size: S, side of the square input, pixels.
        mean: mean of each channel, on the scale 0..1.
        std: standard deviation of each channel, on the scale 0..1.
        model_id: name of a preset, id on the hub, or `run:` and the id of the run whose weights are loaded.
        revision: the commit on the hub; None for a preset and for the weights of a run.
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
        """D, number of penultimate features."""
        return self.head.in_features

    @property
    def parameters(self) -> int:
        """Number of scalars in all parameters, whether they learn or not."""
        return sum(weights.numel() for weights in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.head.weight.device

    def features_and_logits(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Make one forward pass.

        Args:
            pixel_values: (B, 3, S, S) float32, normalised.

        Returns:
            Penultimate features (B, D) and logits (B, C).
        """
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
    """Make a preset with random weights, or load a checkpoint from the hub with a head for these classes.

    The same arguments give the same weights; torch's global random state does not change.

    Args:
        model: name of a preset or id on the hub.
        class_names: C names; the model has C outputs.
        native_image_size: longer side of the dataset's images, pixels; determines the input size of a preset.
        seed: seed of all random weights.
        allowed_models: ids on the hub that the operator allows.
        revision: commit to load; None means the newest commit. Not used for presets.
        cache_dir: folder of the hub's files; None means the cache of huggingface_hub.

    Returns:
        The model, on the CPU.

    Raises:
        UnknownModelError: `model` is neither a preset nor allowed.
        SourceUnavailableError: the checkpoint cannot be downloaded or read.
        UnusableModelError: the checkpoint is no usable image classifier, or its preprocessing is unusable.
    """
    require_known(model, allowed_models)
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU, whichever device trains the model
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
    """Make the transformers config of a preset.

    Args:
        preset: the preset.
        class_names: C names; the model has C outputs.
        image_size: side of the input, pixels; a key of `preset.inputs`.
    """
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
    """`image_size` of the config, if the model accepts no other size; None if the preprocessing determines the size."""
    family = families.family_of(model)
    return None if family and family.any_input else getattr(model.config, "image_size", None)
