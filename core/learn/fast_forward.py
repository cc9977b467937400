"""A context with faster forward and backward passes of a model. Only training and embedding use this context.

    with fast_forward(model):
        loss(model(pixel_values).logits).backward()

Inside the context, logits and gradients equal those of the plain model up to rounding; dropout draws other numbers.
Outside the context, the model is unchanged: every forward hook fires, every block returns all tokens, and attentions
are available.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from core.learn import class_token, fast_depthwise


@contextmanager
def fast_forward(model: nn.Module) -> Iterator[None]:
    """Replace the forward methods of some layers, and restore the methods at the end, also after an exception.

    Contexts may be nested. A copy of the model that is made inside the context keeps the replaced methods.

    Args:
        model: a classifier. Weights, names of weights and classes of layers do not change.
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
