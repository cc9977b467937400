"""Gradients of depthwise convolutions of small images, as one product of matrices a channel.

Of few positions, all pairs of one that is given and one that is made are few, too: their products, summed over the
batch, are one matrix product a channel, and the gradient of each tap of the kernel is the sum of some of them. It is
the same but for rounding, and on a CPU much sooner there: a pass back through 2 x 2 positions of 192 channels takes 0.6
ms instead of 7, through 4 x 4 of 96 channels 0.9 instead of 4.8 (64 images, kernels of 7 x 7, by hand). At 32 pixels
that is what a ConvNeXt has after its first stage, at 224 its last stage has 7 x 7.
"""

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d


class _Strides(NamedTuple):
    """How a kernel goes over the positions, of each side."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def quicken_depthwise(model: nn.Module) -> None:
    """Let the model's depthwise convolutions compute gradients this way, where their images are small and on a CPU.

    Outputs, weights and their names stay.

    Args:
        model: changed in place; twice is as good as once.
    """
    for layer in model.modules():
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels == layer.out_channels > 1:
            layer.__class__ = _QuickDepthwise


class _QuickDepthwise(nn.Conv2d):
    """A depthwise convolution: (B, C, H, W) -> (B, C, H', W'), exactly as torch's."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name for it
        if input.ndim != 4 or self.padding_mode != "zeros" or isinstance(self.padding, str):  # noqa: PLR2004 - B, C, H, W
            return super().forward(input)
        # With more positions than taps, most pairs would belong to no tap.
        if input.shape[2:].numel() > self.weight.shape[2:].numel() or not _is_float32_on_cpu(input):
            return super().forward(input)
        strides = _Strides(self.stride, self.padding, self.dilation)
        made: Tensor = _Depthwise.apply(input, self.weight, self.bias, strides)  # type: ignore[no-untyped-call]
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
    alone = torch.eye(side.numel()).view(-1, 1, *side)
    each = torch.eye(kernel.numel()).view(-1, 1, *kernel)
    made = conv2d(alone, each, None, *strides)
    return made.flatten(2).transpose(0, 1).flatten(1).float()  # whatever autocast makes of it
