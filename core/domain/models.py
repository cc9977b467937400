"""The models that a run may name. No model is loaded here.

A preset is a small model of a registered family with random weights. It needs no download, and its input size depends
on the images. Every other model is an image-classification checkpoint on the Hugging Face hub that the operator allows.
`core.learn.describe` counts layers, parameters and FLOPs of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.domain.families import FAMILIES
from core.domain.layers import InputSize, descriptions
from core.domain.phases import LayerDecay
from core.errors import UnknownModelError


@dataclass(frozen=True, slots=True)
class Preset:
    """A small model with random weights.

    Attributes:
        model_type: `model_type` of its family.
        config: values of the family's config in transformers that are equal for all input sizes.
        inputs: input sizes, pixels, smallest first, each with the values of the config for this size.
    """

    model_type: str
    config: Mapping[str, object]
    inputs: Mapping[int, Mapping[str, object]]

    def input_for(self, native_image_size: int) -> int:
        """Return the input size in pixels: the smallest that is not below the size of the images, else the largest.

        >>> PRESETS["vit-tiny"].input_for(28), PRESETS["resnet-tiny"].input_for(8)
        (32, 32)
        """
        return next((side for side in self.inputs if native_image_size <= side), max(self.inputs))


def _vit(*, width: int, depth: int, heads: int) -> Preset:
    """Return a vision transformer. The input has 16 patches at 8 pixels, and 64 patches at larger sizes."""
    config = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
        # ViT-Base's 0.02 is too small for such a narrow model: it learns more slowly, and before the training all class
        # tokens are nearly equal.
        "initializer_range": width**-0.5,
        "attn_implementation": "sdpa",
    }
    return Preset("vit", config, _patches({8: 2, 16: 2, 32: 4, 64: 8}))


def _patches(sizes: Mapping[int, int]) -> Mapping[int, Mapping[str, object]]:
    """Return the values of the config for each input size.

    Args:
        sizes: patch size of each input size, pixels.
    """
    return {side: {"image_size": side, "patch_size": patch} for side, patch in sizes.items()}


# Larger images are scaled down to 64 pixels: the presets are for small images, the hub checkpoints for photographs.
PRESETS: dict[str, Preset] = {
    "vit-tiny": _vit(width=128, depth=4, heads=2),
    "vit-small": _vit(width=256, depth=6, heads=4),
    "resnet-tiny": Preset(
        "resnet",
        {"embedding_size": 32, "hidden_sizes": (32, 64, 128), "depths": (2, 2, 2), "layer_type": "basic"},
        # ResNet's stem divides the side by four. Smaller images are scaled up to 32 pixels, so that 8 x 8 positions are
        # left after the stem and 2 x 2 after the last stage. At 8 pixels, 2 x 2 and one would be left.
        {32: {}, 64: {}},
    ),
    "convnext-mini": Preset(
        "convnext",
        {
            "num_stages": 3,
            "hidden_sizes": (48, 96, 192),
            "depths": (2, 2, 2),
            # With the usual 1e-6, an untrained layer adds almost nothing to its input. With 1, the first frame shows
            # the whole model. After 300 steps on digits, the accuracies were 96.8 and 96.6 % with one seed
            # (docs/backbones.md).
            "layer_scale_init_value": 1.0,
        },
        _patches({8: 1, 16: 2, 32: 4, 64: 8}),  # 8 x 8 positions after the stem, 2 x 2 after the last stage
    ),
}

DESCRIBED_AT = 32
DESCRIBED_CLASSES = 10


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """A checkpoint on the hub whose published config.json is known. `ModelCard` describes the fields."""

    model_type: str
    image_size: int = 224


KNOWN_CHECKPOINTS: dict[str, HubCheckpoint] = {
    "google/vit-base-patch16-224-in21k": HubCheckpoint("vit"),
    "facebook/deit-small-patch16-224": HubCheckpoint("vit"),
    "facebook/dino-vits16": HubCheckpoint("vit"),
    "facebook/dinov2-small": HubCheckpoint("dinov2"),
    "microsoft/swin-tiny-patch4-window7-224": HubCheckpoint("swin"),
    "facebook/convnext-tiny-224": HubCheckpoint("convnext"),
    "microsoft/resnet-50": HubCheckpoint("resnet"),
    "microsoft/resnet-152": HubCheckpoint("resnet"),
}


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as `GET /v1/models` shows it. A field is None if it is unknown before the model is loaded.

    Attributes:
        id: value of a run's `model`.
        kind: "preset" (random weights, no download) or "hub" (a checkpoint on the Hugging Face hub).
        parameters: number of parameters with a head of 10 classes; for a preset, at an input of 32 pixels.
        flops: floating-point operations of the forward pass of one image, with the same head and input. Convolutions
            and matrix products are counted, a multiply-add as two operations. Biases, norms, activations and softmax
            are not counted.
        layers: number of transformer blocks, or of residual blocks of a convolutional network.
        width: number of features D of an embedding.
        image_size: side of the input, pixels; None for a preset, whose input size depends on the images.
        inputs: all input sizes, smallest first; empty if they are unknown.
        family: name of the family.
        pooling: description of the embedding.
        head: kind of the classifier head.
    """

    id: str
    kind: Literal["preset", "hub"]
    parameters: int | None = None
    flops: int | None = None
    layers: int | None = None
    width: int | None = None
    image_size: int | None = None
    inputs: tuple[InputSize, ...] = ()
    family: str | None = None
    pooling: str | None = None
    head: str = "linear"


def known_models(allowed_models: Sequence[str]) -> list[ModelCard]:
    """Return all models that a run may name: the presets, then the hub checkpoints that the operator allows."""
    presets = [_card(name, "preset", model_type=preset.model_type) for name, preset in PRESETS.items()]
    return presets + [_hub_card(name) for name in allowed_models]


def require_known(model: str, allowed_models: Sequence[str]) -> None:
    """Check that a run may name this model.

    Raises:
        UnknownModelError: the model is neither a preset nor a checkpoint that the operator allows.
    """
    names = [*PRESETS, *allowed_models]
    if model not in names:
        raise UnknownModelError(f"There is no model {model!r}. Choose one of: {', '.join(names)}.", field="model")


def _hub_card(name: str) -> ModelCard:
    if name not in KNOWN_CHECKPOINTS:
        return ModelCard(name, "hub")
    checkpoint = KNOWN_CHECKPOINTS[name]
    return _card(name, "hub", model_type=checkpoint.model_type, image_size=checkpoint.image_size)


def _card(name: str, kind: Literal["preset", "hub"], *, model_type: str, image_size: int | None = None) -> ModelCard:
    family, described = FAMILIES[model_type], descriptions()[name]
    return ModelCard(
        name,
        kind,
        parameters=described.layer_tree.parameters,
        flops=described.layer_tree.flops,
        layers=described.layers,
        width=described.width,
        image_size=image_size,
        inputs=described.inputs,
        family=family.name,
        pooling=family.pooling,
    )


def usual_layer_decay(model: str) -> LayerDecay:
    """Return the decay of the learning rate in the recipe "two_phase".

    The kind is "family" if the family of the model is unknown before the model is loaded.
    """
    known = PRESETS.get(model) or KNOWN_CHECKPOINTS.get(model)
    return FAMILIES[known.model_type].layer_decay if known else _FAMILYS


def layer_decay_of(classifier: str) -> LayerDecay:
    """Return the decay of the learning rate in the recipe "two_phase".

    Args:
        classifier: class of the model, such as "ResNetForImageClassification".

    Returns:
        The decay of the family. The kind is "family" if no family has this class.
    """
    families = {family.classifier: family for family in FAMILIES.values()}
    return families[classifier].layer_decay if classifier in families else _FAMILYS


_FAMILYS = LayerDecay(kind="family")
