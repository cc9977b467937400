"""The optimiser of a phase: parameter groups, learning rates, weight decay, and its moments as named tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from core.domain.phases import Phase
from core.learn.learning import Layer

# Weight decay is meant for matrices that map features. It would only pull positions and learned tokens to zero.
_NEVER_DECAYED = ("position", "pos_embed", "token", "relative")
_MOMENTUM = 0.9


def make_optimizer(layers: Sequence[Layer], phase: Phase) -> Optimizer:
    """The optimiser of a phase: AdamW, Adam or SGD with momentum 0.9, fused.

    Args:
        layers: what learns; each layer gives up to two parameter groups, with weight decay and without. Biases, norms,
            learned tokens and position embeddings have none.
        phase: optimiser, peak learning rate and weight decay.

    Returns:
        The optimiser; the entry "fraction" of each group is its layer's fraction of the head's learning rate.
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
    """Set the learning rate of every group: its fraction of `learning_rate`, which is the head's."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["fraction"]


def moments(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state of each parameter that it has updated.

    Returns:
        For Adam and AdamW `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`, of the parameter's shape, and
        `<parameter>.step`, (), float32; for SGD `<parameter>.momentum_buffer`, of the parameter's shape. The tensors
        are the live ones, on the device: read them before the next step. Before the first step there are none.
    """
    return {
        f"{name}.{moment}": value.contiguous()
        for name, weights in model.named_parameters()
        for moment, value in optimizer.state.get(weights, {}).items()
    }


def restore_moments(model: nn.Module, optimizer: Optimizer, stored: Mapping[str, Tensor]) -> None:
    """Replace the optimiser's state by one that `moments` returned.

    Args:
        model: whose parameters the optimiser has.
        optimizer: of the same kind as the one that the state is of.
        stored: by names as in `moments`; copied to the parameters' devices.

    Raises:
        ValueError: a name or shape is of another model; nothing was changed then.
    """
    parameters = dict(model.named_parameters())
    named = [(*key.rpartition(".")[::2], value) for key, value in stored.items()]
    for name, moment, value in named:
        if name not in parameters or value.shape != (() if moment == "step" else parameters[name].shape):
            raise ValueError(f"the model has no weights {name!r} with a moment {moment!r} of {list(value.shape)}")
    optimizer.state.clear()
    for name, moment, value in named:
        weights = parameters[name]
        # Moments have the memory layout of their weights, as the optimiser makes them: its fused form assumes it.
        like = torch.empty((), device=weights.device) if moment == "step" else torch.empty_like(weights)
        optimizer.state[weights][moment] = like.copy_(value)


def _parted(layer: Layer) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The layer's weights with decay, and those without."""
    decayed = [weights for name, weights in layer.weights.items() if _decays(name, weights)]
    return decayed, [weights for name, weights in layer.weights.items() if not _decays(name, weights)]


def _decays(name: str, weights: nn.Parameter) -> bool:
    return weights.ndim > 1 and not any(part in name for part in _NEVER_DECAYED)
