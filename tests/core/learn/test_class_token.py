import copy
import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedConfig

from core.domain.families import FAMILIES
from core.learn.embed import weights_sha256
from core.learn.families import classifier_class
from core.learn.fast_forward import fast_forward
from tests.core.learn.small_families import CONFIGS

VIT = CONFIGS["vit"]
HEADS = VIT.num_attention_heads
FAST = ExitStack()
either = pytest.mark.parametrize("config", [VIT, CONFIGS["deit"]], ids=["vit", "deit"])


@pytest.fixture(autouse=True)
def _plain_again() -> Iterator[None]:
    with FAST:
        yield


def made(config: PreTrainedConfig, **changes: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return classifier_class(FAMILIES[config.model_type])(
            type(config)(**config.to_dict() | {"initializer_range": 0.2} | changes)
        )


def both(config: PreTrainedConfig, **changes: object) -> tuple[nn.Module, nn.Module]:
    """Return the plain model, and the model inside `fast_forward` until the test ends."""
    whole = made(config, **changes)
    short = copy.deepcopy(whole)
    FAST.enter_context(fast_forward(short))
    return whole, short


def pixels(n_images: int = 5) -> Tensor:
    return torch.randn(n_images, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    cross_entropy(model(pixels().double()).logits, torch.tensor([0, 1, 1, 0, 1])).backward()
    return {name: weights.grad for name, weights in model.named_parameters()}


def flops(model: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(pixels(1))
    return int(counter.get_total_flops())


class AdaptedLinear(nn.Linear):
    """Like a layer of peft: it has more than weight and bias."""

    def forward(self, rows: Tensor) -> Tensor:
        return super().forward(rows) + rows.mean(-1, keepdim=True)


@pytest.mark.parametrize("adapted", [(), ("k_proj",), ("v_proj",)], ids=str)
@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}], ids=str)
@either
def test_logits_and_gradients__are_the_same(
    config: PreTrainedConfig, changes: dict[str, object], adapted: tuple[str, ...]
) -> None:
    whole, short = both(config, **changes)
    for model, name in itertools.product((whole, short), adapted):
        model.get_submodule(f"{config.model_type}.layers.2.attention.{name}").__class__ = AdaptedLinear
    torch.testing.assert_close(short(pixels()).logits, whole(pixels()).logits)
    expected, found = gradients(whole.double()), gradients(short.double())
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=lambda message, name=name: f"{name}: {message}")


@either
def test_weights__keep_names_and_values(config: PreTrainedConfig) -> None:
    whole, short = both(config)
    assert weights_sha256(short) == weights_sha256(whole)


@either
def test_last_layer__takes_less(config: PreTrainedConfig) -> None:
    whole, short = both(config)
    tokens, width, hidden = 17 if config.model_type == "vit" else 18, 24, 32
    projection, perceptron = 2 * width * width, 2 * 2 * width * hidden
    scores_and_sum = (
        2 * 2 * HEADS * tokens * width
    )  # torch counts no product of fused attention, and each product of this attention
    expected = (tokens - 1) * (4 * projection + perceptron) - scores_and_sum
    assert flops(whole) - flops(short) == expected


@pytest.mark.parametrize("linear", [nn.Linear, AdaptedLinear])
@either
def test_dropout__of_attention_is_drawn_in_training_only(config: PreTrainedConfig, linear: type[nn.Linear]) -> None:
    _, short = both(config, attention_probs_dropout_prob=0.5)
    last = short.get_submodule(f"{config.model_type}.layers.2")
    last.attention.k_proj.__class__ = linear
    tokens = torch.randn(4, 17, 24)
    assert torch.equal(last.eval()(tokens), last(tokens))
    assert not torch.equal(last.train()(tokens), last(tokens))


@either
def test_dropout__of_all_attention_leaves_nothing_of_values(config: PreTrainedConfig) -> None:
    _, short = both(config, attention_probs_dropout_prob=1.0, hidden_dropout_prob=0.0)
    last = short.get_submodule(f"{config.model_type}.layers.2").train()
    nn.init.ones_(last.attention.v_proj.bias)
    nn.init.zeros_(last.attention.o_proj.bias)
    nn.init.zeros_(last.mlp.fc2.weight)
    nn.init.zeros_(last.mlp.fc2.bias)
    tokens = torch.randn(4, 17, 24)
    assert torch.equal(last(tokens), tokens[:, :1]), "only the way around both is left"


@either
def test_dropout__follows_attention_and_perceptron(config: PreTrainedConfig) -> None:
    _, short = both(config, hidden_dropout_prob=1.0)
    last = short.get_submodule(f"{config.model_type}.layers.2").train()
    tokens = torch.randn(4, 17, 24)
    assert torch.equal(last(tokens), tokens[:, :1]), "only the way around both is left"


@either
def test_attention_mask__is_applied(config: PreTrainedConfig) -> None:
    whole, short = both(config)
    path = f"{config.model_type}.layers.2"
    tokens, mask = torch.randn(4, 17, 24), torch.arange(17) < 9
    expected = whole.get_submodule(path)(tokens, mask[None, None, None])
    assert torch.equal(short.get_submodule(path)(tokens, mask[None, None, None]), expected)
    assert not torch.allclose(short.get_submodule(path)(tokens), expected[:, :1])


@either
def test_rounding__does_not_depend_on_the_trained_layers(config: PreTrainedConfig) -> None:
    _, short = both(config)
    with torch.no_grad():
        before = short(pixels()).logits
        short.requires_grad_(False)
        assert torch.equal(short(pixels()).logits, before)


@either
def test_attentions__contain_all_tokens_if_requested(config: PreTrainedConfig) -> None:
    whole, short = both(config)
    for model in (whole, short):
        model.set_attn_implementation("eager")
    expected, found = (model(pixels(), output_attentions=True) for model in (whole, short))
    assert [attention.shape for attention in found.attentions] == [attention.shape for attention in expected.attentions]
    assert all(map(torch.equal, found.attentions, expected.attentions))
    assert torch.equal(found.logits, expected.logits)


def test_fast_forward__twice_equals_once() -> None:
    _, short = both(VIT)
    before = short(pixels()).logits
    with fast_forward(short):
        assert torch.equal(short(pixels()).logits, before)
    assert torch.equal(short(pixels()).logits, before)
    assert flops(short) < flops(made(VIT))


def test_copy__computes_with_its_own_weights() -> None:
    _, short = both(VIT)
    other = copy.deepcopy(short)
    nn.init.zeros_(short.get_submodule("vit.layers.2.mlp.fc2").weight)
    whole = made(VIT)
    torch.testing.assert_close(other(pixels()).logits, whole(pixels()).logits)
    assert not torch.allclose(short(pixels()).logits, whole(pixels()).logits)


def test_a_head_that_reads_more__has_it_all() -> None:
    whole, short = both(CONFIGS["dinov2"])
    assert torch.equal(short(pixels()).logits, whole(pixels()).logits)
    assert flops(short) == flops(whole)
