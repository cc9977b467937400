import copy
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn

from core.learn.fast_forward import fast_forward
from testing.noise import noise

CHANNELS = 6
FAST = ExitStack()
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


@pytest.fixture(autouse=True)
def _plain_again() -> Iterator[None]:
    with FAST:
        yield


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def both(**changes: object) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Return the plain layer, and the layer inside `fast_forward` until the test ends."""
    settings = {"kernel_size": 7, "padding": 3, "groups": CHANNELS} | changes
    with torch.random.fork_rng():
        torch.manual_seed(1)
        usual = nn.Conv2d(CHANNELS, CHANNELS, **settings)
    quick = copy.deepcopy(usual)
    FAST.enter_context(fast_forward(quick))
    return usual, quick


def is_quick(conv: nn.Module, images: Tensor) -> bool:
    return "_Depthwise" in conv(images.requires_grad_()).grad_fn.name()


def gradients(conv: nn.Conv2d, images: Tensor) -> list[Tensor]:
    images = images.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    made = conv(images)
    (made * drawn(*made.shape)).sum().backward()
    return [images.grad, *(weights.grad for weights in conv.parameters())]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias": False},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (3, 5), "padding": (1, 2), "stride": (1, 2)},
        {"kernel_size": 4, "padding": 3},
        {"kernel_size": 3, "padding": (2, 4), "dilation": (1, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [(3, 3), (2, 4)], ids=str)
def test_output_and_gradients__are_the_same(side: tuple[int, int], settings: dict[str, object], layout: str) -> None:
    usual, quick = both(**settings)
    images = drawn(5, CHANNELS, *side).to(memory_format=LAYOUTS[layout])
    assert is_quick(quick, images)
    assert not is_quick(usual, images)
    assert torch.equal(quick(images), usual(images))
    for found, expected in zip(gradients(quick, images), gradients(usual, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_positions_that_no_tap_reaches__get_no_gradient() -> None:
    _, quick = both()
    *_, weight, _ = gradients(quick, drawn(5, CHANNELS, 2, 2))
    reached = torch.zeros(7, 7, dtype=torch.bool)
    reached[2:5, 2:5] = True
    assert torch.equal(weight != 0, reached.expand_as(weight))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, (2, CHANNELS, 10, 5)),
        ({"kernel_size": 3, "padding": 1}, (2, CHANNELS, 5, 2)),
        ({}, (CHANNELS, 4, 4)),
        ({"padding": "same"}, (2, CHANNELS, 4, 4)),
        ({"padding_mode": "reflect"}, (2, CHANNELS, 4, 4)),
        ({"groups": 1}, (2, CHANNELS, 4, 4)),
        ({"groups": 2}, (2, CHANNELS, 4, 4)),
    ],
    ids=["large", "large for its kernel", "no batch", "padding in words", "reflected", "dense", "grouped"],
)
def test_other_layers_and_images__use_the_default_path(settings: dict[str, object], shape: tuple[int, ...]) -> None:
    usual, quick = both(**settings)
    images = drawn(*shape)
    assert not is_quick(quick, images)
    assert torch.equal(quick(images), usual(images))


def test_other_dtypes__use_the_default_path() -> None:
    _, quick = both()
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_quick(quick, drawn(2, CHANNELS, 4, 4))
    assert not is_quick(quick.double(), drawn(2, CHANNELS, 4, 4).double())


@pytest.mark.parametrize("learns", ["images", "weight", "bias"])
def test_frozen_layers__get_no_gradient(learns: str) -> None:
    usual, quick = both()
    found = {}
    for conv in (usual, quick):
        conv.requires_grad_(False)
        images = drawn(2, CHANNELS, 4, 4)
        tensors = {"images": images, "weight": conv.weight, "bias": conv.bias}
        tensors[learns].requires_grad_()
        conv(images).square().sum().backward()
        assert {name for name, tensor in tensors.items() if tensor.grad is not None} == {learns}
        found[conv] = tensors[learns].grad
    torch.testing.assert_close(found[quick], found[usual], rtol=1e-5, atol=1e-4)


def test_gradients_of_gradients__are_the_same() -> None:
    usual, quick = both()
    found = []
    for conv in (usual, quick):
        images = drawn(3, CHANNELS, 3, 3).requires_grad_()
        (gradient,) = torch.autograd.grad(conv(images).tanh().sum(), conv.weight, create_graph=True)
        gradient.square().sum().backward()
        found.append([images.grad, conv.weight.grad])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_no_images__give_none_and_gradients_of_zero() -> None:
    _, quick = both()
    images, weight, bias = gradients(quick, drawn(0, CHANNELS, 3, 3))
    assert images.shape == (0, CHANNELS, 3, 3)
    assert not weight.any()
    assert not bias.any()


def test_autocast_in_the_first_pass_back__leaves_later_ones_as_they_are() -> None:
    settings = {"kernel_size": 5, "padding": 2, "dilation": 1, "stride": (2, 1)}
    usual, quick = both(**settings)
    images = drawn(2, CHANNELS, 5, 4)
    loss = quick(images).square().sum()
    with torch.autocast("cpu", torch.bfloat16):
        loss.backward()
    for found, expected in zip(gradients(both(**settings)[1], images), gradients(usual, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_afterwards__the_layer_is_torchs_own() -> None:
    _, quick = both()
    FAST.close()
    assert type(quick) is nn.Conv2d
    assert "forward" not in vars(quick)
    assert not is_quick(quick, drawn(2, CHANNELS, 4, 4))


def test_copy__computes_with_its_own_weights() -> None:
    usual, quick = both()
    other = copy.deepcopy(quick)
    nn.init.zeros_(quick.weight)
    images = drawn(2, CHANNELS, 4, 4)
    assert torch.equal(other(images), usual(images))
    assert not torch.equal(quick(images), usual(images))


def test_fast_forward__twice_equals_once() -> None:
    usual, quick = both()
    images = drawn(2, CHANNELS, 4, 4)
    with fast_forward(quick):
        assert is_quick(quick, images)
    assert is_quick(quick, images)
    assert torch.equal(quick(images), usual(images))


def test_a_backbone__is_fast_inside_only() -> None:
    backbone, _ = noise("convnext-mini", n_images=1)
    depthwise = [layer for layer in backbone.model.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert len(depthwise) == 6
    for layer in depthwise:
        images = drawn(2, layer.in_channels, 4, 4)
        assert not is_quick(layer, images)
        with fast_forward(backbone.model):
            assert is_quick(layer, images)
