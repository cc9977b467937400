"""Which models there are, without loading any of them.

The presets need no download: small models of registered families, randomly initialised, whose input follows the images.
Anything else is an image-classification checkpoint on the Hugging Face hub that the operator allows. What either is
made of is counted by `core.learn.describe`, and read here.
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
    """A small model with random weights, in the words of its family's config in transformers.

    Attributes:
        model_type: of its family, in the registry.
        config: what is the same at every input.
        inputs: sides of the input that it may have, pixels, smallest first, each with what the config says only there.
    """

    model_type: str
    config: Mapping[str, object]
    inputs: Mapping[int, Mapping[str, object]]

    def input_for(self, native_image_size: int) -> int:
        """Side of the input, pixels: the smallest that holds the images, else the largest.

        >>> PRESETS["vit-tiny"].input_for(28), PRESETS["resnet-tiny"].input_for(8)
        (32, 32)
        """
        return next((side for side in self.inputs if native_image_size <= side), max(self.inputs))


def _vit(*, width: int, depth: int, heads: int) -> Preset:
    """A vision transformer; an input is 16 patches, or 64."""
    config = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
        # ViT-Base's 0.02 is too small for so narrow a model: it learns more slowly, and before any training
        # all class tokens are nearly the same point.
        "initializer_range": width**-0.5,
        "attn_implementation": "sdpa",
    }
    return Preset("vit", config, _patches({8: 2, 16: 2, 32: 4, 64: 8}))


def _patches(sizes: Mapping[int, int]) -> Mapping[int, Mapping[str, object]]:
    """Inputs, by the size of a patch at each side."""
    return {side: {"image_size": side, "patch_size": patch} for side, patch in sizes.items()}


# Larger images are scaled down to 64 px: the presets are for small images, the hub checkpoints for
# photographs.
PRESETS: dict[str, Preset] = {
    "vit-tiny": _vit(width=128, depth=4, heads=2),
    "vit-small": _vit(width=256, depth=6, heads=4),
    "resnet-tiny": Preset(
        "resnet",
        {"embedding_size": 32, "hidden_sizes": (32, 64, 128), "depths": (2, 2, 2), "layer_type": "basic"},
        # ResNet's stem keeps a fourth of the side. Smaller images are scaled up, so that it leaves 8 x 8 positions, and
        # the last stage 2 x 2: at 8 pixels these would be 2 x 2 and one.
        {32: {}, 64: {}},
    ),
    "convnext-mini": Preset(
        "convnext",
        {
            "num_stages": 3,
            "hidden_sizes": (48, 96, 192),
            "depths": (2, 2, 2),
            # At the usual 1e-6 an untrained layer adds nothing to what it is given: with 1 all of the model is in the
            # first frame. After 300 steps on digits either has learnt as much.
            "layer_scale_init_value": 1.0,
        },
        _patches({8: 1, 16: 2, 32: 4, 64: 8}),  # 8 x 8 positions after the stem, 2 x 2 after the last stage
    ),
}

DESCRIBED_AT = 32
DESCRIBED_CLASSES = 10


@dataclass(frozen=True, slots=True)
class HubCheckpoint:
    """A checkpoint on the hub that is known by its published config.json; the words are those of `ModelCard`."""

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
    """What can be said of a model before it is loaded; None where only the checkpoint itself knows.

    Attributes:
        id: what a run's `model` says.
        kind: "preset" (random weights, no download) or "hub" (a checkpoint on the Hugging Face hub).
        parameters: trainable numbers with a head of 10 classes; for a preset, at an input of 32 pixels.
        flops: floating-point operations of the forward pass of one image, with that head and input: convolutions and
            matrix products, a multiply-add as two; biases, norms, activations and softmax are not counted.
        layers: transformer blocks, or residual blocks of a convolutional network.
        width: features D of an embedding.
        image_size: side of the input, pixels; None for a preset, whose input follows the images.
        inputs: every size that the input may have here, smallest first; empty where it is not known.
        family: of the registry, by name.
        pooling: what the features are, in words.
        head: what turns features into class scores.
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
    """Every model that a run may name: the presets, then the hub checkpoints that the operator allows."""
    presets = [_card(name, "preset", model_type=preset.model_type) for name, preset in PRESETS.items()]
    return presets + [_hub_card(name) for name in allowed_models]


def require_known(model: str, allowed_models: Sequence[str]) -> None:
    """Refuse a model that no run may name.

    Raises:
        UnknownModelError: `model` is neither a preset nor on the operator's allow-list.
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
    """How the recipe "two_phase" lets the rates fall towards the input; "family" where that is found out by loading."""
    known = PRESETS.get(model) or KNOWN_CHECKPOINTS.get(model)
    return FAMILIES[known.model_type].layer_decay if known else _FAMILYS


def layer_decay_of(classifier: str) -> LayerDecay:
    """The same of a model whose class is known, such as "ResNetForImageClassification"."""
    families = {family.classifier: family for family in FAMILIES.values()}
    return families[classifier].layer_decay if classifier in families else _FAMILYS


_FAMILYS = LayerDecay(kind="family")
