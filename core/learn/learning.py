"""Which weights of a model learn in a phase, and how fast each of them does.

What does not learn stands still altogether: its weights, and what normalisation layers keep of the images that go by.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from core.domain.phases import SMALLEST_SHARE, Phase
from core.errors import InvalidSpecError
from core.learn.backbones import Backbone
from core.learn.families import Block, blocks


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Weights that learn at one rate.

    Attributes:
        name: the path of its first module in the model.
        weights: its parameters by their names in the model.
        share: of the head's learning rate.
    """

    name: str
    weights: dict[str, nn.Parameter]
    share: float


def learning_layers(backbone: Backbone, phase: Phase) -> list[Layer]:
    """What learns in a phase, from the input to the head.

    Raises:
        SourceUnavailableError: the phase counts blocks, and the order of this model's is not known.
        InvalidSpecError: there are fewer blocks, or the rate falls so far that a layer would stand still.
    """
    model = backbone.model
    if phase.trainable == "head":
        return [_layer(model, "head", [backbone.head], share=1.0)]
    if phase.trainable == "all" and phase.layer_decay is None:
        return [_layer(model, "all layers", [model], share=1.0)]
    found = list(_joined(blocks(model)))
    layers = [
        _layer(model, block.name, block.modules, share=_share(phase, place, layers=len(found)))
        for place, block in enumerate(found)
    ]
    kept = layers if phase.n_blocks is None else layers[-1 - _n_blocks(phase, most=len(layers) - 1) :]
    _require_moving(kept, phase)
    return kept


def set_learning(backbone: Backbone, layers: list[Layer]) -> None:
    """Let these weights learn, and no others; no gradient is left of before."""
    learning = {name for layer in layers for name in layer.weights}
    for name, weights in backbone.model.named_parameters():
        weights.requires_grad_(name in learning)
        weights.grad = None


def set_modes(backbone: Backbone) -> None:
    """Training mode for what learns, evaluation mode for what does not; the head always learns.

    Where only the head does, everything before it is a fixed function of the image: dropout is off there too.
    """
    model, head = backbone.model, backbone.head
    only_head = all(part in set(head.parameters()) for part in model.parameters() if part.requires_grad)
    model.train(not only_head)
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(part.requires_grad for part in weights):
            module.eval()
    head.train()


def _joined(found: list[Block]) -> Iterator[Block]:
    """The blocks; a norm, all of whose weights are vectors, is one with the block after it."""
    waiting: tuple[nn.Module, ...] = ()
    for block in found:
        modules = (*waiting, *block.modules)
        if all(weights.ndim == 1 for weights in block.parameters):
            waiting = modules
            continue
        waiting = ()
        yield Block(block.name, modules)


def _layer(model: nn.Module, name: str, modules: list[nn.Module] | tuple[nn.Module, ...], *, share: float) -> Layer:
    own = {id(weights) for module in modules for weights in module.parameters()}
    return Layer(name, {path: weights for path, weights in model.named_parameters() if id(weights) in own}, share)


def _share(phase: Phase, place: int, *, layers: int) -> float:
    return phase.layer_decay.share(place, layers=layers) if phase.layer_decay else 1.0


def _n_blocks(phase: Phase, *, most: int) -> int:
    wanted = phase.n_blocks or 0
    if wanted > most:
        raise InvalidSpecError(
            f"Phase {phase.name!r} trains the last {wanted} blocks, but the model has {most} before its head: ask for "
            'at most that many, or for trainable "all".',
            field="train.phases",
        )
    return wanted


def _require_moving(layers: list[Layer], phase: Phase) -> None:
    still = [layer for layer in layers if layer.share < SMALLEST_SHARE]
    if still:
        raise InvalidSpecError(
            f"In phase {phase.name!r} the rate falls so far towards the input that {still[0].name} would stand still "
            f"({still[0].share:.1g} of the head's rate). Raise layer_decay's factor or floor, or say with "
            'trainable "last_n_blocks" which blocks learn.',
            field="train.phases",
        )
