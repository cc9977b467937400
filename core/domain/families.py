"""Families of models: how each one pools its features, and where its layers are. Plain data, one entry a family.

What a family is named after is the `model_type` in its config.json. So a DINO ViT (facebook/dino-vit*) and a DeiT
without the distillation token (facebook/deit-small-patch16-224) are of the family ViT: that is what they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.domain.phases import LayerDecay
from core.errors import UnusableModelError

TRANSFORMERS = "transformers"
_USUAL_DECAY = LayerDecay(kind="exponential", factor=0.75)


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one architecture.

    Attributes:
        name: as people write it.
        model_type: as config.json writes it.
        classifier: the class that has a linear head.
        pooling: what the head is given, in words.
        blocks: the modules that are one block each, as paths in the classifier; `*` is any number in a list, and a
            tuple of paths is one block of several modules. Their order is the model's own, from the input to the head.
        lora_targets: the layers that LoRA adapts, as the ends of their paths: linear ones of attention and MLP; where
            there are none, convolutions.
        layer_decay: how the recipe "two_phase" lets the rates fall towards the input.
        cls_layers: the list of layers, if all that the head reads of the last one is the class token (CLS).
        any_input: whether the input may have another size than the config's `image_size`.
        module: that holds the class. A module of our own needs torch and transformers only. It also has
            `published_weights(path)`, if there are `weights_files`.
        weights_files: pattern of the files of published weights that are no safetensors; None: there are none.
        config: what is set in the config of a checkpoint, so that the model has no weights that nothing uses.
    """

    name: str
    model_type: str
    classifier: str
    pooling: str
    blocks: tuple[str | tuple[str, ...], ...]
    lora_targets: tuple[str, ...]
    layer_decay: LayerDecay = _USUAL_DECAY
    cls_layers: str | None = None
    any_input: bool = False
    module: str = TRANSFORMERS
    weights_files: str | None = None
    config: Mapping[str, object] = field(default_factory=dict)


_CLASS_TOKEN = "class token (CLS) after the final norm"  # noqa: S105
_TRANSFORMERS_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2")
_VGG16_CONVOLUTIONS = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)

_ALL = (
    Family(
        "ViT",
        "vit",
        "ViTForImageClassification",
        pooling=_CLASS_TOKEN,
        blocks=("vit.embeddings", "vit.layers.*", "vit.layernorm", "classifier"),
        lora_targets=_TRANSFORMERS_LINEAR,
        cls_layers="vit.layers",
    ),
    Family(
        "DeiT",
        "deit",
        "DeiTForImageClassification",
        pooling=f"{_CLASS_TOKEN}; the distillation token has no head",
        blocks=("deit.embeddings", "deit.layers.*", "deit.layernorm", "classifier"),
        lora_targets=_TRANSFORMERS_LINEAR,
        cls_layers="deit.layers",
    ),
    Family(
        "DINOv2",
        "dinov2",
        "Dinov2ForImageClassification",
        pooling=f"{_CLASS_TOKEN}, followed by the mean of the patch tokens: twice the model's width",
        blocks=("dinov2.embeddings", "dinov2.encoder.layer.*", "dinov2.layernorm", "classifier"),
        lora_targets=(*_TRANSFORMERS_LINEAR, "gate_proj", "up_proj", "down_proj"),  # the last three: of the giant's MLP
        any_input=True,  # position embeddings are interpolated: stored for 518 pixels, used at 224
        config={"use_mask_token": False},
    ),
    Family(
        "Swin",
        "swin",
        "SwinForImageClassification",
        pooling="mean of the patch tokens after the final norm",
        blocks=(
            "swin.embeddings",
            "swin.encoder.layers.*.blocks.*",
            "swin.encoder.layers.*.downsample",
            "swin.layernorm",
            "classifier",
        ),
        lora_targets=_TRANSFORMERS_LINEAR,
    ),
    Family(
        "ConvNeXt",
        "convnext",
        "ConvNextForImageClassification",
        pooling="global average pool, then the final norm",
        blocks=("convnext.embeddings", "convnext.encoder.stages.*", "convnext.layernorm", "classifier"),
        lora_targets=("pwconv1", "pwconv2"),
        any_input=True,
    ),
    Family(
        "ResNet",
        "resnet",
        "ResNetForImageClassification",
        pooling="global average pool",
        blocks=("resnet.embedder", "resnet.encoder.stages.*", "classifier"),
        lora_targets=("convolution",),
        layer_decay=LayerDecay(kind="exponential", factor=1 / 3),
        any_input=True,
    ),
    Family(
        "VGG16-BN",
        "vgg16_bn",
        "VGG16BNForImageClassification",
        pooling="second hidden layer of the classifier, after its ReLU",
        blocks=(
            *((f"features.{index}", f"features.{index + 1}") for index in _VGG16_CONVOLUTIONS),  # with its norm
            "classifier.*",
        ),
        lora_targets=(*(f"features.{index}" for index in _VGG16_CONVOLUTIONS), "classifier.0", "classifier.3"),
        layer_decay=LayerDecay(kind="linear", floor=1 / 1000),
        any_input=True,
        module="core.learn.vgg",
        weights_files="vgg16_bn*.pth",  # as torchvision names its file: vgg16_bn-6c64b313.pth
    ),
)

FAMILIES: dict[str, Family] = {family.model_type: family for family in _ALL}


def require_family(model_type: str) -> Family:
    """The family of this `model_type`.

    Raises:
        UnusableModelError: it is not registered.
    """
    if model_type not in FAMILIES:
        names = ", ".join(family.name for family in _ALL)
        raise UnusableModelError(
            f"The order of the layers of a model of type {model_type!r} is not known. "
            f"Choose a model of one of these families: {names}.",
            field="model",
        )
    return FAMILIES[model_type]
