"""How weights are changed: AdamW, its learning rate over time, and which weights decay."""

import math

from torch import nn
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
