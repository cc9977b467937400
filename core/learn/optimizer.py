"""How weights are changed: AdamW, what it remembers, its learning rate over time, and which weights decay."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from core.domain.spec import TrainSpec

# Positions and learned tokens are no matrices that map features; decaying them only pulls them to zero.
_NEVER_DECAYED = ("position", "pos_embed", "token", "relative")


def adamw(model: nn.Module, spec: TrainSpec) -> AdamW:
    """AdamW whose weight decay spares biases, norms, learned tokens and position embeddings."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, weights in model.named_parameters():
        if weights.requires_grad:
            (decayed if _decays(name, weights) else spared).append(weights)
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=spec.learning_rate, fused=True)


def moments(model: nn.Module, optimizer: AdamW) -> dict[str, Tensor]:
    """What AdamW remembers of each weight that it has changed.

    Returns:
        `<parameter>.exp_avg` and `<parameter>.exp_avg_sq`, of the parameter's shape, and `<parameter>.step`, ();
        on the device, to be read before the next step. Nothing before the first one.
    """
    return {
        f"{name}.{moment}": value.contiguous()
        for name, weights in model.named_parameters()
        for moment, value in optimizer.state.get(weights, {}).items()
    }


def restore_moments(model: nn.Module, optimizer: AdamW, stored: Mapping[str, Tensor]) -> None:
    """Give AdamW back what `moments` said; what it remembers now is forgotten.

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
        # In the weights' own memory layout, as AdamW itself makes them; its fused form reads memory as it lies.
        like = torch.empty((), device=weights.device) if moment == "step" else torch.empty_like(weights)
        optimizer.state[weights][moment] = like.copy_(value)


def rate_factor(step: int, *, steps: int, warmup: float) -> float:
    """Share of the peak learning rate that update `step` uses: linear warm-up, then half a cosine.

    With w = round(warmup * steps): step / (w + 1) for the first w updates, then
    (1 + cos(pi * (step - w - 1) / (steps - w))) / 2. Rate 0 lies just before the first update and just after
    the last one, so no update is wasted.

    Args:
        step: 1 to steps.
        steps: updates of the run.
        warmup: share of the steps, 0 <= warmup < 1.

    >>> [round(rate_factor(step, steps=5, warmup=0.2), 3) for step in range(1, 6)]
    [0.5, 1.0, 0.854, 0.5, 0.146]
    """
    rising = min(round(warmup * steps), steps - 1)
    if step <= rising:
        return step / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising - 1) / (steps - rising)))


def _decays(name: str, weights: nn.Parameter) -> bool:
    return weights.ndim > 1 and not any(part in name for part in _NEVER_DECAYED)
