"""The last layer of a vision transformer, where the head reads nothing but the class token.

What the last layer makes of all other tokens goes nowhere, forwards or backwards. Left out, the logits and gradients
are the same but for rounding and for what dropout draws, and of the layer remain the keys and values of all tokens and
one token's way through the rest. That saves a fifth of the arithmetic of `vit-tiny`, and a fifteenth of ViT-B/16's.
"""

import types
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from core.learn import families

_FUSED = "sdpa"


def leave_out_unread(model: nn.Module) -> None:
    """Let the last layer compute the class token alone; models of which the head reads more stay as they are.

    The weights and their names stay, too. With any attention but torch's fused one, as when attentions are to be read,
    and with a mask the layer computes all tokens.

    Args:
        model: a classifier, changed in place; twice is as good as once.
    """
    family = families.family_of(model)
    if family is not None and family.cls_layers is not None:
        for last in model.get_submodule(family.cls_layers)[-1:]:  # type: ignore[index]
            last.forward = types.MethodType(_class_token, last)


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
    width: int = attention.head_dim

    def heads(projected: Tensor) -> Tensor:  # (B, T, H * d) -> (B, H, T, d)
        return projected.view(*projected.shape[:2], -1, width).transpose(1, 2)

    # Of matrices: the rounding of a product of (B, 1, D) depends on whether the weights learn.
    query = attention.q_proj(tokens[:, 0]).unsqueeze(1)
    gathered = scaled_dot_product_attention(
        heads(query),
        heads(attention.k_proj(tokens)),
        heads(attention.v_proj(tokens)),
        dropout_p=attention.attention_dropout if attention.training else 0.0,
        scale=attention.scaling,
    )
    attended: Tensor = attention.o_proj(gathered.flatten(1))
    return attended
