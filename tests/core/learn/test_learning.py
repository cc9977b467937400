import pytest
import torch
from torch import nn

from core.domain.phases import LayerDecay, Phase
from core.errors import InvalidSpecError
from core.learn.learning import learning_layers, set_learning, set_modes
from tests.core.learn.small_families import CONFIGS, SMALL
from tests.core.learn.small_training import backbone, of_family


def phase(**fields: object) -> Phase:
    return Phase.model_validate({"name": "a", "steps": 1} | fields)


def names(model: object, **fields: object) -> list[str]:
    return [layer.name for layer in learning_layers(model, phase(**fields))]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_family__blocks_learn_from_the_input_to_the_head(kind: str) -> None:
    model = of_family(kind, CONFIGS[kind])
    layers = learning_layers(model, phase(layer_decay=LayerDecay(kind="exponential", factor=0.5)))
    expected = SMALL[kind].blocks
    assert [layer.name for layer in layers] == expected
    assert [layer.fraction for layer in layers] == [0.5**place for place in reversed(range(len(expected)))]
    found = [name for layer in layers for name in layer.weights]
    assert sorted(found) == sorted(name for name, _ in model.model.named_parameters())


def test_the_final_norm_learns_with_the_head() -> None:
    last = learning_layers(backbone(), phase(layer_decay=LayerDecay(kind="linear", floor=0.1)))[-1]
    assert set(last.weights) == {"vit.layernorm.weight", "vit.layernorm.bias", "classifier.weight", "classifier.bias"}


def test_set_learning__trainable_layers() -> None:
    model = backbone()
    assert names(model) == ["all layers"]
    assert set(learning_layers(model, phase(trainable="head"))[0].weights) == {"classifier.weight", "classifier.bias"}
    assert names(model, trainable="last_n_blocks", n_blocks=1) == ["vit.layers.3", "classifier"]
    assert names(model, trainable="last_n_blocks", n_blocks=5)[0] == "vit.embeddings"


def test_more_blocks_than_there_are__are_refused() -> None:
    with pytest.raises(InvalidSpecError, match="has 5 blocks before its head"):
        names(backbone(), trainable="last_n_blocks", n_blocks=6)


def test_the_familys_decay__is_looked_up() -> None:
    layers = learning_layers(of_family("resnet", CONFIGS["resnet"]), phase(layer_decay={"kind": "family"}))
    assert [layer.fraction for layer in layers] == pytest.approx([3.0**-place for place in reversed(range(6))])


def test_a_layer_that_would_stand_still_is_refused() -> None:
    """A factor of 0.01 for each block is 1e-10 at the embeddings of four blocks."""
    steep = {"kind": "exponential", "factor": 0.01}
    with pytest.raises(InvalidSpecError, match=r"first block is 1e-10 of the head's rate"):
        names(backbone(), layer_decay=steep)
    assert names(backbone(), layer_decay=steep, trainable="last_n_blocks", n_blocks=2) == [
        "vit.layers.2",
        "vit.layers.3",
        "classifier",
    ]


def test_set_learning__only_trained_layers_have_gradients_and_training_mode() -> None:
    model = backbone(dropout=0.5)
    set_learning(model, learning_layers(model, phase(trainable="last_n_blocks", n_blocks=1)))
    set_modes(model)
    learning = {name for name, weights in model.model.named_parameters() if weights.requires_grad}
    assert {name.rpartition(".")[0].partition(".layers.3")[0] for name in learning} == {
        "vit",
        "vit.layernorm",
        "classifier",
    }
    for name, module in model.model.named_modules():
        if isinstance(module, nn.Dropout):
            assert module.training == ("layers.3" in name)
    assert model.head.training


def test_set_modes__features_of_a_head_alone_are_deterministic() -> None:
    model = backbone(dropout=0.5)
    set_learning(model, learning_layers(model, phase(trainable="head")))
    set_modes(model)
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(model.model(images).logits, model.model(images).logits)
    assert [name for name, module in model.model.named_modules() if module.training] == ["classifier"]


def test_gradients_of_before_are_forgotten() -> None:
    model = backbone()
    model.model(torch.randn(2, 3, 8, 8)).logits.sum().backward()
    set_learning(model, learning_layers(model, phase()))
    assert all(weights.grad is None for weights in model.model.parameters())
