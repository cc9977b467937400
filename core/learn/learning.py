"""Which weights of a model learn in a phase, and how fast each of them does.

In a model with adapters these and the head learn in place of all weights.

What does not learn stands still altogether: its weights, and what normalisation layers keep of the images that go by.
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
        UnusableModelError: the phase counts blocks, and the order of this model's is not known.
        InvalidSpecError: there are fewer blocks, or the rate falls so far that a layer would stand still.
    """
    model = backbone.model
    if phase.trainable == "head":
        return [_layer(backbone, "head", [backbone.head], share=1.0)]
    if phase.trainable == "all" and phase.layer_decay is None:
        return [_layer(backbone, "all layers", [model], share=1.0)]
    found = blocks(model)
    shares = phase.falling(require_family_of(model).layer_decay).shares(len(found), field="train.phases")
    return [
        _layer(backbone, block.name, block.modules, share=share)
        for block, share in zip(found, shares, strict=True)
        if share
    ]


def set_learning(backbone: Backbone, layers: list[Layer]) -> None:
    """Let these weights learn, and no others; no gradient is left of before."""
    learning = {name for layer in layers for name in layer.weights}
    for name, weights in backbone.model.named_parameters():
        weights.requires_grad_(name in learning)
        weights.grad = None


def how_many_learn(backbone: Backbone, spec: TrainSpec) -> int:
    """Numbers that learn in one phase of a training or another."""
    learner = adapted(backbone, spec)
    layers = [layer for stretch in spec.phase_spans for layer in learning_layers(learner, stretch.phase)]
    return sum({path: weights.numel() for layer in layers for path, weights in layer.weights.items()}.values())


def set_modes(backbone: Backbone) -> None:
    """Training mode for what learns, evaluation mode for what does not; the head always learns.

    Where only the head does, everything before it is a fixed function of the image: dropout is off there too.
    """
    model, head = backbone.model, backbone.head
    learning = {weights for weights in model.parameters() if weights.requires_grad}
    model.train(not learning <= set(head.parameters()))
    for module in model.modules():
        weights = set(module.parameters())
        if weights and weights.isdisjoint(learning):
            module.eval()
    head.train()


def _layer(backbone: Backbone, name: str, modules: list[nn.Module] | tuple[nn.Module, ...], *, share: float) -> Layer:
    own = {id(weights) for module in modules for weights in module.parameters()}
    return Layer(name, {path: weights for path, weights in _can_learn(backbone).items() if id(weights) in own}, share)


def _can_learn(backbone: Backbone) -> dict[str, nn.Parameter]:
    named = dict(backbone.model.named_parameters())
    if not any(is_adapter(path) for path in named):
        return named
    head = {id(weights) for weights in backbone.head.parameters()}
    return {path: weights for path, weights in named.items() if is_adapter(path) or id(weights) in head}
