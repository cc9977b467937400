"""Layers, blocks, parameters and FLOPs of the presets and the well-known checkpoints, counted without weights.

`python -m core.learn.describe` writes core/domain/descriptions.json, which the API reads.

Each model is made from its config on torch's meta device, where tensors have shapes but no values. FLOPs are torch's
count for a forward pass of one image. Convolutions and matrix products are counted, including the products of
attention. A multiply-add counts as two FLOPs. Biases, norms, activations, softmax, pooling and interpolation are not
counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode
from transformers import ConvNextConfig, Dinov2Config, PreTrainedConfig, ResNetConfig, SwinConfig, ViTConfig

from core.domain.families import FAMILIES
from core.domain.layers import COMMITTED, DescribedBlock, Description, InputSize, Layer, written
from core.domain.models import DESCRIBED_AT, DESCRIBED_CLASSES, KNOWN_CHECKPOINTS, PRESETS, Preset
from core.learn import families, hub
from core.learn.backbones import preset_config

_LEVELS = 6
"""Depth of the layer tree below the model, enough for the parts of the layers of every family. Chosen by hand."""

_TEN = {"num_labels": DESCRIBED_CLASSES}
_SMALL_VIT = {"hidden_size": 384, "num_attention_heads": 6}

PUBLISHED: Mapping[str, PreTrainedConfig] = {  # only the differences from the defaults of transformers
    "google/vit-base-patch16-224-in21k": ViTConfig(**_TEN),
    "facebook/deit-small-patch16-224": ViTConfig(**_SMALL_VIT, intermediate_size=1536, **_TEN),
    "facebook/dino-vits16": ViTConfig(**_SMALL_VIT, intermediate_size=1536, **_TEN),
    "facebook/dinov2-small": Dinov2Config(**_SMALL_VIT, image_size=518, **FAMILIES["dinov2"].config, **_TEN),
    "microsoft/swin-tiny-patch4-window7-224": SwinConfig(**_TEN),
    "facebook/convnext-tiny-224": ConvNextConfig(**_TEN),
    "microsoft/resnet-50": ResNetConfig(**_TEN),
    "microsoft/resnet-152": ResNetConfig(depths=[3, 8, 36, 3], **_TEN),
}
"""The published configs of `KNOWN_CHECKPOINTS`, by id, with a head of ten classes."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The measurements of one module in a forward pass of one image.

    Attributes:
        place: number of modules whose forward pass ended before this module's forward pass.
        flops: FLOPs of the module, including its submodules.
        output_shape: shape of the first output tensor, without the batch dimension.
        reshapes: True if the first input tensor has another shape than the first output tensor.
    """

    place: int
    flops: int
    output_shape: tuple[int, ...]
    reshapes: bool


def every() -> dict[str, Description]:
    """Describe each preset at all its input sizes, and each well-known checkpoint at its own input size, by id."""
    return {name: _preset(preset) for name, preset in PRESETS.items()} | {
        name: describe(without_weights(PUBLISHED[name]), image_size=checkpoint.image_size)
        for name, checkpoint in KNOWN_CHECKPOINTS.items()
    }


def _preset(preset: Preset) -> Description:
    """Describe a preset: layers at the input size `DESCRIBED_AT`, parameters and FLOPs at all input sizes."""
    names = [str(label) for label in range(DESCRIBED_CLASSES)]
    at = {
        side: describe(without_weights(preset_config(preset, class_names=names, image_size=side)), image_size=side)
        for side in preset.inputs
    }
    inputs = tuple(size for description in at.values() for size in description.inputs)
    return at[DESCRIBED_AT].model_copy(update={"inputs": inputs})


def without_weights(config: PreTrainedConfig) -> nn.Module:
    """Make a classifier without weights, on the meta device and in evaluation mode.

    Args:
        config: a config of a registered family.
    """
    with torch.device("meta"):
        model = families.classifier_class(FAMILIES[config.model_type])(config)
    model.set_attn_implementation("eager")  # torch's counter knows matrix products, but not all fused attention kernels
    classifier: nn.Module = model.eval()
    return classifier


def describe(model: nn.Module, *, image_size: int) -> Description:
    """Count a model's layers, parameters and FLOPs.

    Args:
        model: a classifier of a registered family, on the meta device.
        image_size: side of the input, pixels.

    Returns:
        Number of layers, width, blocks, layer tree, and parameters and FLOPs at this input size.

    Raises:
        UnusableModelError: the family is not registered.
    """
    blocks = families.blocks(model)
    described = tuple(
        DescribedBlock(name=block.name, depth_from_head=depth, parameters=_count(block.parameters))
        for block, depth in zip(blocks, reversed(range(len(blocks))), strict=True)
    )
    tree = _layer("", model, _calls(model, image_size=image_size), levels=_LEVELS)
    config: PreTrainedConfig = model.config
    return Description(
        layers=_repeated(config),
        width=hub.classification_head(model, config.model_type, n_classes=config.num_labels).in_features,
        inputs=(InputSize(image_size, parameters=tree.parameters, flops=tree.flops),),
        blocks=described,
        layer_tree=tree,
    )


def _repeated(config: PreTrainedConfig) -> int | None:
    """Number of transformer or residual blocks; None if the config does not have this number."""
    depths: Iterable[int] | None = getattr(config, "depths", None)
    return sum(depths) if depths else getattr(config, "num_hidden_layers", None)


def _calls(model: nn.Module, *, image_size: int) -> dict[nn.Module, _Call]:
    """Make a forward pass of one image, and measure each module that takes part."""
    calls: dict[nn.Module, _Call] = {}
    before: dict[nn.Module, int] = {}
    counter = FlopCounterMode(display=False)

    def begin(module: nn.Module, _inputs: object) -> None:
        before[module] = counter.get_total_flops()

    def end(module: nn.Module, inputs: object, output: object) -> None:
        given, shape = _shape(inputs), _shape(output)
        flops = counter.get_total_flops() - before[module]
        calls[module] = _Call(len(calls), flops, shape or (), reshapes=given is not None and given != shape)

    watched = register_module_forward_pre_hook(begin), register_module_forward_hook(end)
    with watched[0], watched[1], torch.no_grad(), counter:
        model(torch.empty(1, 3, image_size, image_size, device="meta"))
    return calls


def _shape(value: object) -> tuple[int, ...] | None:
    """Shape of the first tensor in a module's inputs or output, without the batch dimension; None without a tensor."""
    if isinstance(value, Tensor):
        return tuple(value.shape[1:] if value.shape[0] == 1 else value.shape)
    try:
        return _shape(value[0])  # type: ignore[index]
    except (LookupError, TypeError):
        return None


def _layer(name: str, module: nn.Module, calls: Mapping[nn.Module, _Call], *, levels: int) -> Layer:
    call = calls[module]
    below = sorted(_parts(module, calls), key=lambda part: calls[part[1]].place) if levels else []
    children = [_layer(path, part, calls, levels=levels - 1) for path, part in below]
    return Layer(
        name=name,
        kind=type(module).__name__,
        parameters=_count(module.parameters()),
        flops=call.flops,
        output_shape=call.output_shape,
        children=_collapsed(children),
    )


def _parts(module: nn.Module, calls: Mapping[nn.Module, _Call]) -> Iterator[tuple[str, nn.Module]]:
    """Submodules that have parameters or change the shape, with their paths.

    A module without a forward pass of its own, such as a ModuleList, is replaced by its submodules. A module without
    parameters that keeps the shape, such as an activation, is left out.
    """
    for name, part in module.named_children():
        if part not in calls:
            yield from ((f"{name}.{path}", inner) for path, inner in _parts(part, calls))
        elif calls[part].reshapes or _count(part.parameters()):
            yield name, part


def _collapsed(layers: list[Layer]) -> tuple[Layer, ...]:
    """Join consecutive layers that differ only in the number at the end of their names; `repeat` counts the layers."""
    groups = [list(group) for _key, group in groupby(layers, key=_unnumbered)]
    return tuple(group[0].model_copy(update={"repeat": len(group)}) for group in groups)


def _unnumbered(layer: Layer) -> Layer:
    stem, _, last = layer.name.rpartition(".")
    return layer.model_copy(update={"name": stem if last.isdigit() else layer.name})


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(weights.numel() for weights in parameters)


if __name__ == "__main__":
    COMMITTED.write_text(written(every()))
