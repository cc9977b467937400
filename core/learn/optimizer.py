"""How weights are changed: the optimisers, what they remember, and which weights decay."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from core.domain.phases import Phase
from core.learn.learning import Layer

# Positions and learned tokens are no matrices that map features; decaying them only pulls them to zero.
_NEVER_DECAYED = ("position", "pos_embed", "token", "relative")
_MOMENTUM = 0.9


def make_optimizer(layers: Sequence[Layer], phase: Phase) -> Optimizer:
    """The phase's optimiser of these layers' weights; decay spares biases, norms, learned tokens and positions.

    Returns:
        An optimiser whose groups say in "share" what part of the head's rate they learn at.
    """
    groups = [
        {"params": weights, "weight_decay": decay, "share": layer.share}
        for layer in layers
        for weights, decay in zip(_parted(layer), (phase.weight_decay, 0.0), strict=True)
        if weights
    ]
    if phase.optimizer == "sgd":
        return SGD(groups, lr=phase.learning_rate, momentum=_MOMENTUM, fused=True)
    kind = Adam if phase.optimizer == "adam" else AdamW
    return kind(groups, lr=phase.learning_rate, fused=True)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Let the head learn at this rate, and each other layer at its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


def moments(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers of each weight that it has changed.

    Returns:
        Of Adam and AdamW `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`, of the parameter's shape, and
        `<parameter>.step`, (); of SGD `<parameter>.momentum_buffer`; on the device, to be read before the next step.
        Nothing before the first one.
    """
    return {
        f"{name}.{moment}": value.contiguous()
        for name, weights in model.named_parameters()
        for moment, value in optimizer.state.get(weights, {}).items()
    }


def restore_moments(model: nn.Module, optimizer: Optimizer, stored: Mapping[str, Tensor]) -> None:
    """Give the optimiser back what `moments` said; what it remembers now is forgotten.

    Raises:
        ValueError: they are of another model; nothing was changed then.
    """
    parameters = dict(model.named_parameters())
    named = [(*key.rpartition(".")[::2], value) for key, value in stored.items()]
    for name, moment, value in named:
        if name not in parameters or value.shape != (() if moment == "step" else parameters[name].shape):
            raise ValueError(f"the model has no weights {name!r} with a moment {moment!r} of {list(value.shape)}")
    optimizer.state.clear()
    for name, moment, value in named:
        weights = parameters[name]
        # In the weights' own memory layout, as the optimiser itself makes them; its fused form reads memory as it lies.
        like = torch.empty((), device=weights.device) if moment == "step" else torch.empty_like(weights)
        optimizer.state[weights][moment] = like.copy_(value)


def _parted(layer: Layer) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights that decay, and those that do not."""
    decayed = [weights for name, weights in layer.weights.items() if _decays(name, weights)]
    return decayed, [weights for name, weights in layer.weights.items() if not _decays(name, weights)]


def _decays(name: str, weights: nn.Parameter) -> bool:
    return weights.ndim > 1 and not any(part in name for part in _NEVER_DECAYED)
