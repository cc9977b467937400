"""Families of models: the pooling and the layers of each architecture, as plain data.

The `model_type` in config.json decides the family of a checkpoint. So a DINO ViT (facebook/dino-vit*) and a DeiT
without the distillation token (facebook/deit-small-patch16-224) are in the family ViT.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.domain.phases import LayerDecay
from core.errors import UnusableModelError

TRANSFORMERS = "transformers"
_USUAL_DECAY = LayerDecay(kind="exponential", factor=0.75)
"""Decay of most families; the value of the fine-tuning of MAE (arXiv:2111.06377)."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one architecture.

    Attributes:
        name: name for users.
        model_type: `model_type` in config.json.
        classifier: class of the model with a linear head.
        pooling: description of the head's input.
        blocks: paths of the blocks in the classifier, in order from the input to the head. `*` is any index of a list,
            and a tuple of paths is one block of several modules.
        lora_targets: ends of the paths of the layers that LoRA adapts: the linear layers of attention and MLP, or
            convolutions if there are none.
        layer_decay: decay of the learning rate towards the input in the recipe "two_phase".
        cls_layers: path of the list of layers, if the head reads only the class token (CLS) of the last layer.
        any_input: True if the input size may differ from `image_size` in the config.
        module: module with the class. A module of this package needs only torch and transformers. If `weights_files`
            is set, it has a function `published_weights(path)`.
        weights_files: pattern of the files of published weights that are not safetensors; None if there are none.
        config: values that are set in the config of a checkpoint, so that the model has no unused weights.
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
        # The last three layers are in the MLP of DINOv2-giant.
        lora_targets=(*_TRANSFORMERS_LINEAR, "gate_proj", "up_proj", "down_proj"),
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
        layer_decay=LayerDecay(kind="exponential", factor=1 / 3),  # chosen by hand; not measured
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
        layer_decay=LayerDecay(kind="linear", floor=1 / 1000),  # chosen by hand; not measured
        any_input=True,
        module="core.learn.vgg",
        weights_files="vgg16_bn*.pth",  # as torchvision names its file: vgg16_bn-6c64b313.pth
    ),
)

FAMILIES: dict[str, Family] = {family.model_type: family for family in _ALL}


def require_family(model_type: str) -> Family:
    """Return the family of a `model_type`.

    Raises:
        UnusableModelError: no family is registered for it.
    """
    if model_type not in FAMILIES:
        names = ", ".join(family.name for family in _ALL)
        raise UnusableModelError(
            f"Models of type {model_type!r} are not supported. Choose a model of one of these families: {names}.",
            field="model",
        )
    return FAMILIES[model_type]
