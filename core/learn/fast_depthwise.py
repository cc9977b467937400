"""Gradients of depthwise convolutions of small images, as one matrix product a channel.

With few positions there are few pairs of an input and an output position. The products of each pair, summed over the
batch, are one matrix product a channel, and the gradient of each tap of the kernel is a sum of some of them. It equals
torch's up to rounding and is faster on a CPU: a backward pass through 2 x 2 positions of 192 channels takes 0.6 ms
instead of 7, through 4 x 4 positions of 96 channels 0.9 instead of 4.8 (64 images, kernels of 7 x 7, by hand). A
ConvNeXt has such images after its first stage at 32 pixels; at 224 pixels its last stage has 7 x 7.
"""

import types
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d


class _Strides(NamedTuple):
    """How a kernel moves over the positions, for each side."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def replacements(model: nn.Module) -> dict[nn.Module, Callable[..., Tensor]]:
    """The model's depthwise convolutions, each with the forward whose backward pass is the faster one.

    Outputs are bit for bit torch's. Large images, other devices and other types are left to torch.

    Args:
        model: any module.
    """
    return {
        layer: types.MethodType(_convolution, layer)
        for layer in model.modules()
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels == layer.out_channels > 1
    }


def _convolution(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """A depthwise convolution: (B, C, H, W) -> (B, C, H', W'), exactly as torch's."""
    if images.ndim != 4 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):  # noqa: PLR2004 - B, C, H, W
        return nn.Conv2d.forward(layer, images)
    # With more positions than taps, most pairs would belong to no tap.
    if images.shape[2:].numel() > layer.weight.shape[2:].numel() or not _is_float32_on_cpu(images):
        return nn.Conv2d.forward(layer, images)
    strides = _Strides(layer.stride, layer.padding, layer.dilation)
    made: Tensor = _Depthwise.apply(images, layer.weight, layer.bias, strides)  # type: ignore[no-untyped-call]
    return made


def _is_float32_on_cpu(images: Tensor) -> bool:
    return images.device.type == "cpu" and images.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


class _Depthwise(Function):
    """torch's convolution, and the gradient of its weights by products of matrices."""

    @staticmethod
    def forward(context: Any, images: Tensor, weight: Tensor, bias: Tensor | None, strides: _Strides) -> Tensor:  # noqa: ANN401 - untyped
        context.save_for_backward(images, weight)
        context.strides = strides
        return conv2d(images, weight, bias, *strides, groups=len(weight))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - untyped
        images, weight = context.saved_tensors
        wanted = context.needs_input_grad
        return (
            _of_images(images, weight, gradient, context.strides) if wanted[0] else None,
            _of_weight(images, weight, gradient, context.strides) if wanted[1] else None,
            gradient.sum((0, 2, 3)) if wanted[2] else None,
            None,
        )


def _of_images(images: Tensor, weight: Tensor, gradient: Tensor, strides: _Strides) -> Tensor:
    """The gradient of the images, as torch computes it."""
    channels, only = len(weight), [True, False, False]
    backward = torch.ops.aten.convolution_backward
    found: Tensor = backward(gradient, images, weight, [channels], *strides, False, [0, 0], channels, only)[0]
    return found


def _of_weight(images: Tensor, weight: Tensor, gradient: Tensor, strides: _Strides) -> Tensor:
    """The gradient of (C, 1, K, K') weights, by that of what they made of (B, C, H, W) images."""
    pairs = torch.bmm(_by_channel(images).mT, _by_channel(gradient))
    taps = _taps(weight.shape[2:], strides, images.shape[2:])
    return (pairs.flatten(1) @ taps.t()).view_as(weight)


def _by_channel(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (C, B, H * W); out of channels last in memory, as a matrix that torch is quick to transpose."""
    n_images, n_channels, *side = images.shape
    rows = images.permute(0, 2, 3, 1).reshape(-1, n_channels)
    return rows.t().contiguous().view(n_channels, n_images, side[0] * side[1])


@cache
def _taps(kernel: torch.Size, strides: _Strides, side: torch.Size) -> Tensor:
    """Which tap of the kernel leads from one position to another: (taps, positions given * positions made), 0 and 1."""
    exclusive = torch.eye(side.numel()).view(-1, 1, *side)
    each = torch.eye(kernel.numel()).view(-1, 1, *kernel)
    made = conv2d(exclusive, each, None, *strides)
    return made.flatten(2).transpose(0, 1).flatten(1).float()  # whatever autocast makes of it
