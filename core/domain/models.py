"""Which models there are, without loading any of them.

The presets need no download: small vision transformers, randomly initialised, whose input follows the images.
Anything else is an image-classification checkpoint on the Hugging Face hub that the operator allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.domain.families import FAMILIES
from core.domain.phases import LayerDecay
from core.errors import UnknownModelError

_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an image becomes tokens.

    Attributes:
        image_size: side of the square input, pixels.
        patch_size: side of a patch, pixels; divides image_size.
    """

    image_size: int
    patch_size: int

    @property
    def patches(self) -> int:
        """Tokens an image becomes, the class token left out."""
        return (self.image_size // self.patch_size) ** 2


@dataclass(frozen=True, slots=True)
class Architecture:
    """A vision transformer: `depth` blocks of `width` features, a class token, a linear head."""

    width: int
    depth: int
    heads: int
    hidden_width: int

    def parameters(self, geometry: Geometry, *, n_classes: int) -> int:
        """Trainable numbers, the classification head included."""
        width, hidden = self.width, self.hidden_width
        patches = _CHANNELS * geometry.patch_size**2 * width + width
        tokens = (geometry.patches + 1) * width + width
        attention = 4 * (width * width + width)
        perceptron = width * hidden + hidden + hidden * width + width
        norms = 2 * 2 * width
        head = 2 * width + width * n_classes + n_classes
        return patches + tokens + self.depth * (attention + perceptron + norms) + head

    def flops(self, geometry: Geometry, *, n_classes: int) -> int:
        """Floating-point operations of the forward pass of one image; a multiply-add is two.

        Matrix products only: biases, norms, activations and softmax are not counted.
        """
        width, tokens = self.width, geometry.patches + 1
        patches = geometry.patches * _CHANNELS * geometry.patch_size**2 * width
        attention = 4 * tokens * width**2 + 2 * tokens**2 * width
        perceptron = 2 * tokens * width * self.hidden_width
        return 2 * (patches + self.depth * (attention + perceptron) + width * n_classes)


PRESETS: dict[str, Architecture] = {
    "vit-tiny": Architecture(width=128, depth=4, heads=2, hidden_width=256),
    "vit-small": Architecture(width=256, depth=6, heads=4, hidden_width=512),
}

# Larger images are scaled down to 64 px: the presets are for small images, the hub checkpoints for
# photographs.
GEOMETRIES = (Geometry(8, 2), Geometry(16, 2), Geometry(32, 4), Geometry(64, 8))

_PRESET_TYPE = "vit"
DESCRIBED_AT = Geometry(32, 4)
DESCRIBED_CLASSES = 10


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on the hub, described by its published config.json; the words are those of `ModelCard`."""

    model_type: str
    parameters: int
    flops: int
    layers: int
    width: int
    image_size: int = 224


# A test makes each of them from its config and counts.
KNOWN_CHECKPOINTS: dict[str, Checkpoint] = {
    "google/vit-base-patch16-224-in21k": Checkpoint(
        "vit", parameters=85_806_346, flops=35_126_135_808, layers=12, width=768
    ),
    "facebook/deit-small-patch16-224": Checkpoint(
        "vit", parameters=21_669_514, flops=9_197_004_288, layers=12, width=384
    ),
    "facebook/dino-vits16": Checkpoint("vit", parameters=21_669_514, flops=9_197_004_288, layers=12, width=384),
    "facebook/dinov2-small": Checkpoint("dinov2", parameters=22_063_882, flops=12_247_139_328, layers=12, width=768),
    "microsoft/swin-tiny-patch4-window7-224": Checkpoint(
        "swin", parameters=27_527_044, flops=8_979_612_672, layers=12, width=768
    ),
    "facebook/convnext-tiny-224": Checkpoint(
        "convnext", parameters=27_827_818, flops=8_909_541_888, layers=18, width=768
    ),
    "microsoft/resnet-50": Checkpoint("resnet", parameters=23_528_522, flops=8_174_313_472, layers=16, width=2048),
    "microsoft/resnet-152": Checkpoint("resnet", parameters=58_164_298, flops=23_023_198_208, layers=50, width=2048),
}


@dataclass(frozen=True, slots=True)
class InputSize:
    """A size of the input, pixels a side, with what the model has and computes there; the words of `ModelCard`."""

    image_size: int
    parameters: int
    flops: int


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


def preset_geometry(native_image_size: int) -> Geometry:
    """The input of a preset: the smallest of 8, 16, 32 and 64 pixels that holds the images; 16 or 64 patches.

    >>> preset_geometry(28)
    Geometry(image_size=32, patch_size=4)
    """
    fitting = (geometry for geometry in GEOMETRIES if native_image_size <= geometry.image_size)
    return next(fitting, GEOMETRIES[-1])


def known_models(allowed_models: Sequence[str]) -> list[ModelCard]:
    """Every model that a run may name: the presets, then the hub checkpoints that the operator allows."""
    return [_preset_card(name) for name in PRESETS] + [_hub_card(name) for name in allowed_models]


def require_known(model: str, allowed_models: Sequence[str]) -> None:
    """Refuse a model that no run may name.

    Raises:
        UnknownModelError: `model` is neither a preset nor on the operator's allow-list.
    """
    names = [card.id for card in known_models(allowed_models)]
    if model not in names:
        raise UnknownModelError(f"There is no model {model!r}. Choose one of: {', '.join(names)}.", field="model")


def _preset_card(name: str) -> ModelCard:
    architecture, family = PRESETS[name], FAMILIES[_PRESET_TYPE]
    described = _input_size(architecture, DESCRIBED_AT)
    return ModelCard(
        name,
        "preset",
        parameters=described.parameters,
        flops=described.flops,
        layers=architecture.depth,
        width=architecture.width,
        inputs=tuple(_input_size(architecture, geometry) for geometry in GEOMETRIES),
        family=family.name,
        pooling=family.pooling,
    )


def _input_size(architecture: Architecture, geometry: Geometry) -> InputSize:
    return InputSize(
        geometry.image_size,
        parameters=architecture.parameters(geometry, n_classes=DESCRIBED_CLASSES),
        flops=architecture.flops(geometry, n_classes=DESCRIBED_CLASSES),
    )


def _hub_card(name: str) -> ModelCard:
    if name not in KNOWN_CHECKPOINTS:
        return ModelCard(name, "hub")
    checkpoint = KNOWN_CHECKPOINTS[name]
    family = FAMILIES[checkpoint.model_type]
    return ModelCard(
        name,
        "hub",
        parameters=checkpoint.parameters,
        flops=checkpoint.flops,
        layers=checkpoint.layers,
        width=checkpoint.width,
        image_size=checkpoint.image_size,
        inputs=(InputSize(checkpoint.image_size, checkpoint.parameters, checkpoint.flops),),
        family=family.name,
        pooling=family.pooling,
    )


def usual_layer_decay(model: str) -> LayerDecay:
    """How the recipe "two_phase" lets the rates fall towards the input; "family" where that is found out by loading."""
    if model in PRESETS:
        return FAMILIES[_PRESET_TYPE].layer_decay
    checkpoint = KNOWN_CHECKPOINTS.get(model)
    return FAMILIES[checkpoint.model_type].layer_decay if checkpoint else _FAMILYS


def layer_decay_of(classifier: str | None) -> LayerDecay:
    """The same of a model whose class is known, such as "ResNetForImageClassification"."""
    families = {family.classifier: family for family in FAMILIES.values()}
    return families[classifier].layer_decay if classifier in families else _FAMILYS


_FAMILYS = LayerDecay(kind="family")
