"""A small model of each family: everything that the tests need to know about a family."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from transformers import (
    ConvNextConfig,
    DeiTConfig,
    Dinov2Config,
    PreTrainedConfig,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)

from core.learn.vgg import VGG16BNConfig

SIDE = 32
TOKENS = {
    "image_size": SIDE,
    "patch_size": 8,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
STAGES = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 2, 1]}


class Small(NamedTuple):
    """A small model of a family.

    Attributes:
        config: configuration of the model.
        width: number of its features.
        blocks: names of its blocks, from the input to the head.
        pooled: the features that the registry declares, computed in another way: (model, pixels) to (B, width).
        adapted: some of the layers that LoRA adapts.
    """

    config: PreTrainedConfig
    width: int
    blocks: list[str]
    pooled: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    adapted: list[str]


def tokens(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return the output of the model before pooling."""
    return getattr(model, model.config.model_type)(pixels).last_hidden_state


def class_and_patches(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    found = tokens(model, pixels)
    return torch.cat([found[:, 0], found[:, 1:].mean(dim=1)], dim=1)


def hidden_of_vgg(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    return model.classifier[:5](model.avgpool(model.features(pixels)).flatten(1))


SMALL = {
    "vit": Small(
        ViTConfig(**TOKENS),
        width=24,
        blocks=["vit.embeddings", *(f"vit.layers.{n}" for n in range(3)), "classifier"],
        pooled=lambda model, pixels: tokens(model, pixels)[:, 0],
        adapted=[f"vit.layers.{n}.{layer}" for n in range(3) for layer in ("attention.q_proj", "mlp.fc2")],
    ),
    "deit": Small(
        DeiTConfig(**TOKENS),
        width=24,
        blocks=["deit.embeddings", *(f"deit.layers.{n}" for n in range(3)), "classifier"],
        pooled=lambda model, pixels: tokens(model, pixels)[:, 0],
        adapted=["deit.layers.0.attention.o_proj"],
    ),
    "dinov2": Small(
        Dinov2Config(**TOKENS | {"mlp_ratio": 2}),
        width=48,
        blocks=["dinov2.embeddings", *(f"dinov2.encoder.layer.{n}" for n in range(3)), "classifier"],
        pooled=class_and_patches,
        adapted=["dinov2.encoder.layer.2.mlp.fc1"],
    ),
    "swin": Small(
        SwinConfig(image_size=SIDE, patch_size=4, embed_dim=6, depths=[1, 2], num_heads=[1, 2], window_size=4),
        width=12,
        blocks=[
            "swin.embeddings",
            "swin.encoder.layers.0.blocks.0",
            "swin.encoder.layers.0.downsample",
            "swin.encoder.layers.1.blocks.0",
            "swin.encoder.layers.1.blocks.1",
            "classifier",
        ],
        pooled=lambda model, pixels: tokens(model, pixels).mean(dim=1),
        adapted=["swin.encoder.layers.1.blocks.1.attention.v_proj"],
    ),
    "convnext": Small(
        ConvNextConfig(**STAGES, image_size=SIDE, layer_scale_init_value=0.5),
        width=20,
        blocks=["convnext.embeddings", *(f"convnext.encoder.stages.{n}" for n in range(4)), "classifier"],
        pooled=lambda model, pixels: model.convnext.layernorm(tokens(model, pixels).mean(dim=(2, 3))),
        adapted=["convnext.encoder.stages.2.layers.1.pwconv1", "convnext.encoder.stages.0.layers.0.pwconv2"],
    ),
    "resnet": Small(
        ResNetConfig(**STAGES, embedding_size=8, layer_type="bottleneck"),
        width=20,
        blocks=["resnet.embedder", *(f"resnet.encoder.stages.{n}" for n in range(4)), "classifier"],
        pooled=lambda model, pixels: tokens(model, pixels).mean(dim=(2, 3)),
        adapted=["resnet.embedder.embedder.convolution", "resnet.encoder.stages.1.layers.0.shortcut.convolution"],
    ),
    "vgg16_bn": Small(
        VGG16BNConfig(widths=[4, 4, 6, 6, 8], hidden_size=20, initializer_range=0.1),
        width=20,
        blocks=[
            *(f"features.{index}" for index in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)),
            "classifier.0",
            "classifier.3",
            "classifier.6",
        ],
        pooled=hidden_of_vgg,
        adapted=["features.0", "features.40", "classifier.0", "classifier.3"],
    ),
}
"""By `model_type`."""

CONFIGS = {model_type: small.config for model_type, small in SMALL.items()}
