"""Selection of the weights that learn in a phase, and their learning rates as fractions of the head's learning rate.

In a model with LoRA adapters only the adapters and the head can learn. All other layers are frozen: their weights and
the running statistics of their normalisation layers do not change.
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
    """Weights that share one learning rate.

    Attributes:
        name: name of the block; "head" or "all layers", if the phase does not divide the model into blocks.
        weights: the parameters that learn, by their names in the model.
        fraction: the layer's learning rate divided by the head's learning rate, in (0, 1].
    """

    name: str
    weights: dict[str, nn.Parameter]
    fraction: float


def learning_layers(backbone: Backbone, phase: Phase) -> list[Layer]:
    """Select the layers that learn in a phase.

    Args:
        backbone: the model that learns, with adapters if the training uses LoRA.
        phase: trainable layers and layer decay.

    Returns:
        The layers from the input to the head.

    Raises:
        UnusableModelError: the phase requires the blocks of the model, and the model's family is not registered.
        InvalidSpecError: the phase trains more blocks than the model has, or the fraction of a layer is below 1e-6.
    """
    model = backbone.model
    if phase.trainable == "head":
        return [_layer(backbone, "head", [backbone.head], fraction=1.0)]
    if phase.trainable == "all" and phase.layer_decay is None:
        return [_layer(backbone, "all layers", [model], fraction=1.0)]
    found = blocks(model)
    fractions = phase.with_family_decay(require_family_of(model).layer_decay).multipliers(
        len(found), field="train.phases"
    )
    return [
        _layer(backbone, block.name, block.modules, fraction=fraction)
        for block, fraction in zip(found, fractions, strict=True)
        if fraction
    ]


def set_learning(backbone: Backbone, layers: list[Layer]) -> None:
    """Require gradients for the weights of these layers, and for no other weights; drop all gradients.

    Args:
        backbone: the model of which `learning_layers` selected the layers.
        layers: the layers that learn.
    """
    learning = {name for layer in layers for name in layer.weights}
    for name, weights in backbone.model.named_parameters():
        weights.requires_grad_(name in learning)
        weights.grad = None


def how_many_learn(backbone: Backbone, spec: TrainSpec) -> int:
    """Count the parameters that learn in at least one phase of a training.

    Args:
        backbone: the model without adapters.
        spec: the phases, and LoRA if the training uses it.

    Returns:
        The number of scalars.
    """
    learner = adapted(backbone, spec)
    layers = [layer for span in spec.phase_spans for layer in learning_layers(learner, span.phase)]
    return sum({path: weights.numel() for layer in layers for path, weights in layer.weights.items()}.values())


def set_modes(backbone: Backbone) -> None:
    """Put layers that learn into training mode and frozen layers into evaluation mode; the head always learns.

    In linear probing all modules before the head are in evaluation mode, including dropout, so the penultimate features
    are a fixed function of the image.

    Args:
        backbone: the model after `set_learning`.
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
