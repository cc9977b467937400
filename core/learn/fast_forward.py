"""A faster forward and backward pass of a model, on request: training and embedding enter it, nobody else does.

    with fast_forward(model):
        loss(model(pixel_values).logits).backward()

Inside, logits and gradients are those of the plain model up to rounding. Outside, the model is exactly what
transformers built: every forward hook fires, every block returns all tokens, attentions can be asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from core.learn import class_token, fast_depthwise


@contextmanager
def fast_forward(model: nn.Module) -> Iterator[None]:
    """Replace the forward of some layers; each gets its own back at the end, also after an exception.

    May be nested. A copy of the model that is made inside stays fast.

    Args:
        model: a classifier; weights, their names and the layers' classes stay.
    """
    replacements = {**class_token.replacements(model), **fast_depthwise.replacements(model)}
    before = {layer: vars(layer)["forward"] for layer in replacements if "forward" in vars(layer)}
    try:
        for layer, forward in replacements.items():
            vars(layer)["forward"] = forward
        yield
    finally:
        for layer in replacements:
            del vars(layer)["forward"]
        for layer, forward in before.items():
            vars(layer)["forward"] = forward
