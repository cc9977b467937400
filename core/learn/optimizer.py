"""The optimiser of a phase: parameter groups, learning rates, weight decay, and moments as named tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from core.domain.phases import Phase
from core.learn.learning import Layer

# Parts of parameter names. Weight decay regularises matrices that map features. Position embeddings and learned tokens
# map no features, so weight decay would only pull them towards zero.
_NEVER_DECAYED = ("position", "pos_embed", "token", "relative")
_MOMENTUM = 0.9  # the usual value; not measured


def make_optimizer(layers: Sequence[Layer], phase: Phase) -> Optimizer:
    """Make the optimiser of a phase: AdamW, Adam or SGD with momentum 0.9, fused.

    Each layer gives up to two parameter groups, one with and one without weight decay. Biases, norms, learned tokens
    and position embeddings have no weight decay.

    Args:
        layers: the layers that learn.
        phase: optimiser, peak learning rate and weight decay.

    Returns:
        The optimiser. The entry "fraction" of each group is the layer's learning rate divided by the head's learning
        rate.
    """
    groups = [
        {"params": weights, "weight_decay": decay, "fraction": layer.fraction}
        for layer in layers
        for weights, decay in zip(_parted(layer), (phase.weight_decay, 0.0), strict=True)
        if weights
    ]
    if phase.optimizer == "sgd":
        return SGD(groups, lr=phase.learning_rate, momentum=_MOMENTUM, fused=True)
    kind = Adam if phase.optimizer == "adam" else AdamW
    return kind(groups, lr=phase.learning_rate, fused=True)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group: fraction * learning_rate.

    Args:
        optimizer: made by `make_optimizer`.
        learning_rate: the head's learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["fraction"]


def moments(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Collect the optimiser's state of each parameter that the optimiser has updated.

    Args:
        model: the model whose parameters the optimiser updates.
        optimizer: made by `make_optimizer`.

    Returns:
        For Adam and AdamW `<parameter>.exp_avg` and `<parameter>.exp_avg_sq` with the parameter's shape, and
        `<parameter>.step`, (), float32; for SGD `<parameter>.momentum_buffer` with the parameter's shape. The tensors
        are live and on the device; the next step changes them. Empty before the first step.
    """
    return {
        f"{name}.{moment}": value.contiguous()
        for name, weights in model.named_parameters()
        for moment, value in optimizer.state.get(weights, {}).items()
    }


def restore_moments(model: nn.Module, optimizer: Optimizer, stored: Mapping[str, Tensor]) -> None:
    """Replace the optimiser's state by a state that `moments` returned.

    Args:
        model: the model whose parameters the optimiser updates.
        optimizer: an optimiser of the same kind as the optimiser of the stored state.
        stored: the tensors that `moments` returned, by name; copied to the devices of the parameters.

    Raises:
        ValueError: a name or shape does not fit the model; the optimiser's state is then unchanged.
    """
    parameters = dict(model.named_parameters())
    named = [(*key.rpartition(".")[::2], value) for key, value in stored.items()]
    for name, moment, value in named:
        if name not in parameters or value.shape != (() if moment == "step" else parameters[name].shape):
            raise ValueError(f"the model has no weights {name!r} with a moment {moment!r} of {list(value.shape)}")
    optimizer.state.clear()
    for name, moment, value in named:
        weights = parameters[name]
        # Fused optimisers require that the moments have the memory layout of their weights.
        like = torch.empty((), device=weights.device) if moment == "step" else torch.empty_like(weights)
        optimizer.state[weights][moment] = like.copy_(value)


def _parted(layer: Layer) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The layer's parameters with weight decay, and the layer's parameters without weight decay."""
    decayed = [weights for name, weights in layer.weights.items() if _decays(name, weights)]
    return decayed, [weights for name, weights in layer.weights.items() if not _decays(name, weights)]


def _decays(name: str, weights: nn.Parameter) -> bool:
    return weights.ndim > 1 and not any(part in name for part in _NEVER_DECAYED)
