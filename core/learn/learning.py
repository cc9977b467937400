"""Which weights of a model learn in a phase, and at which fraction of the head's learning rate.

In a model with adapters, the adapters and the head learn instead of all weights. What does not learn is frozen
entirely: its weights, and the running statistics of its normalisation layers.
"""

from dataclasses import dataclass

from torch import nn

from core.domain.phases import Phase
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone
from core.learn.families import blocks, require_family_of
from core.learn.lora import adapted, is_adapter


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Weights that learn at one learning rate.

    Attributes:
        name: the path of its first module in the model.
        weights: its parameters by their names in the model.
        fraction: of the head's learning rate, in (0, 1].
    """

    name: str
    weights: dict[str, nn.Parameter]
    fraction: float


def learning_layers(backbone: Backbone, phase: Phase) -> list[Layer]:
    """The layers that learn in a phase, from the input to the head.

    Raises:
        UnusableModelError: the phase counts blocks, and the order of this model's is not known.
        InvalidSpecError: there are fewer blocks, or a layer's learning rate would be next to nothing.
    """
    model = backbone.model
    if phase.trainable == "head":
        return [_layer(backbone, "head", [backbone.head], fraction=1.0)]
    if phase.trainable == "all" and phase.layer_decay is None:
        return [_layer(backbone, "all layers", [model], fraction=1.0)]
    found = blocks(model)
    fractions = phase.falling(require_family_of(model).layer_decay).shares(len(found), field="train.phases")
    return [
        _layer(backbone, block.name, block.modules, fraction=fraction)
        for block, fraction in zip(found, fractions, strict=True)
        if fraction
    ]


def set_learning(backbone: Backbone, layers: list[Layer]) -> None:
    """Make these weights require gradients, and no others; drop all gradients."""
    learning = {name for layer in layers for name in layer.weights}
    for name, weights in backbone.model.named_parameters():
        weights.requires_grad_(name in learning)
        weights.grad = None


def how_many_learn(backbone: Backbone, spec: TrainSpec) -> int:
    """The number of parameters that learn in at least one phase of a training."""
    learner = adapted(backbone, spec)
    layers = [layer for span in spec.phase_spans for layer in learning_layers(learner, span.phase)]
    return sum({path: weights.numel() for layer in layers for path, weights in layer.weights.items()}.values())


def set_modes(backbone: Backbone) -> None:
    """Put what learns into training mode and what is frozen into evaluation mode; the head always learns.

    In linear probing everything before the head is in evaluation mode, dropout included: features are a fixed function
    of the image.
    """
    model, head = backbone.model, backbone.head
    learning = {weights for weights in model.parameters() if weights.requires_grad}
    model.train(not learning <= set(head.parameters()))
    for module in model.modules():
        weights = set(module.parameters())
        if weights and weights.isdisjoint(learning):
            module.eval()
    head.train()


def _layer(
    backbone: Backbone, name: str, modules: list[nn.Module] | tuple[nn.Module, ...], *, fraction: float
) -> Layer:
    own = {id(weights) for module in modules for weights in module.parameters()}
    return Layer(
        name, {path: weights for path, weights in _can_learn(backbone).items() if id(weights) in own}, fraction
    )


def _can_learn(backbone: Backbone) -> dict[str, nn.Parameter]:
    named = dict(backbone.model.named_parameters())
    if not any(is_adapter(path) for path in named):
        return named
    head = {id(weights) for weights in backbone.head.parameters()}
    return {path: weights for path, weights in named.items() if is_adapter(path) or id(weights) in head}
