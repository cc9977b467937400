"""The last layer of a vision transformer where the head reads nothing but the class token.

What the last layer computes for all other tokens is never read, forwards or backwards. Without it, logits and gradients
are the same up to rounding and up to what dropout draws. What remains of the layer is a norm, the attention of one
query to all tokens, and the MLP of one token. That saves 24 % of the arithmetic of `vit-tiny` and 8 % of ViT-B/16's;
with LoRA, whose adapters need keys and values, 19 and 7 %.
"""

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention, softmax

from core.learn import families

_FUSED = "sdpa"


def replacements(model: nn.Module) -> dict[nn.Module, Callable[..., Tensor]]:
    """The last layer and the forward that computes only its class token; nothing for models whose head reads more.

    With any attention but torch's fused one, as when attentions are asked for, and with a mask, that forward computes
    all tokens. It does not call the key and value layers, so forward hooks on these do not fire.

    Args:
        model: a classifier.
    """
    family = families.family_of(model)
    if family is None or family.cls_layers is None:
        return {}
    last = model.get_submodule(family.cls_layers)[-1]  # type: ignore[index]
    return {last: types.MethodType(_class_token, last)}


def _class_token(layer: Any, tokens: Tensor, mask: Tensor | None = None, **options: object) -> Tensor:  # noqa: ANN401 - untyped
    """The layer's output for the first token: (B, T, D) -> (B, 1, D); in some cases (B, T, D), for all of them."""
    if mask is not None or layer.attention.config._attn_implementation != _FUSED:  # noqa: SLF001 - no other name for it
        every_token: Tensor = type(layer).forward(layer, tokens, mask, **options)
        return every_token
    token: Tensor = tokens[:, 0] + layer.dropout(_attended(layer.attention, layer.layernorm_before(tokens)))
    token = token + layer.dropout(layer.mlp(layer.layernorm_after(token)))
    return token.unsqueeze(1)


def _attended(attention: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401 - untyped
    """What the first token's attention to all of them gives: (B, T, D) -> (B, D)."""
    # Of matrices: the rounding of a product of (B, 1, D) depends on whether the weights learn.
    query = attention.q_proj(tokens[:, 0]).unflatten(1, (-1, attention.head_dim))
    linear = type(attention.k_proj) is type(attention.v_proj) is nn.Linear  # adapters are something else
    gathered = (_from_tokens if linear else _from_keys_and_values)(attention, query, tokens)
    attended: Tensor = attention.o_proj(gathered.flatten(1))
    return attended


def _from_tokens(attention: Any, query: Tensor, tokens: Tensor) -> Tensor:  # noqa: ANN401 - untyped
    """What each head gathers, (B, H, d) and (B, T, D) -> (B, H, d), without any token's key or value.

    With keys Kx and values Vx of tokens x, q·Kx is Kᵀq·x, and the sum of all aVx is V times the sum of all ax.
    """
    keys, values, by_head = attention.k_proj, attention.v_proj, (-1, attention.head_dim)
    scores = _of_each_head(query, keys.weight.unflatten(0, by_head)) @ tokens.mT  # (B, H, T)
    if keys.bias is not None:  # of no effect, but weights that no gradient reaches would make no step
        scores = scores + (query * keys.bias.unflatten(0, by_head)).sum(2, keepdim=True)
    shares = dropout(softmax(scores * attention.scaling, dim=2), attention.attention_dropout, attention.training)
    gathered = _of_each_head(shares @ tokens, values.weight.unflatten(0, by_head).mT)
    if values.bias is not None:
        gathered = gathered + shares.sum(2, keepdim=True) * values.bias.unflatten(0, by_head)
    return gathered


def _of_each_head(rows: Tensor, matrices: Tensor) -> Tensor:
    """Each head's row of each image times its matrix: (B, H, D) and (H, D, E) -> (B, H, E)."""
    return torch.bmm(rows.transpose(0, 1), matrices).transpose(0, 1)


def _from_keys_and_values(attention: Any, query: Tensor, tokens: Tensor) -> Tensor:  # noqa: ANN401 - untyped
    """The same by torch's fused attention, of what any layers make of all tokens."""
    by_head = (-1, attention.head_dim)
    return scaled_dot_product_attention(
        query.unsqueeze(2),
        attention.k_proj(tokens).unflatten(2, by_head).transpose(1, 2),
        attention.v_proj(tokens).unflatten(2, by_head).transpose(1, 2),
        dropout_p=attention.attention_dropout if attention.training else 0.0,
        scale=attention.scaling,
    ).squeeze(2)
