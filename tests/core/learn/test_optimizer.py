import pytest
import torch

from core.domain.phases import LayerDecay, Phase
from core.domain.spec import TrainSpec
from core.learn.learning import learning_layers
from core.learn.optimizer import make_optimizer, moments, restore_moments, set_learning_rate
from tests.core.learn.small_training import backbone


def test_weight_decay__spares_biases_norms_tokens_and_positions() -> None:
    made = backbone()
    model = made.model
    phase = TrainSpec(weight_decay=0.3).phase_spans[0].phase
    decayed, spared = make_optimizer(learning_layers(made, phase), phase).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    names = {id(value): name for name, value in model.named_parameters()}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert {names[id(value)].rpartition(".")[2] for value in decayed["params"]} == {"weight"}
    assert not [name for value in decayed["params"] if "norm" in (name := names[id(value)])]
    assert {"vit.embeddings.cls_token", "vit.embeddings.position_embeddings", "classifier.bias"} <= {
        names[id(value)] for value in spared["params"]
    }


def test_set_learning_rate__each_layer_learns_at_its_share() -> None:
    phase = Phase(name="a", steps=1, layer_decay=LayerDecay(kind="exponential", factor=0.5))
    model = backbone()
    optimizer = make_optimizer(learning_layers(model, phase), phase)
    set_learning_rate(optimizer, 0.8)
    names = {id(weights): name for name, weights in model.model.named_parameters()}
    rates = {names[id(weights)]: group["lr"] for group in optimizer.param_groups for weights in group["params"]}
    assert rates["classifier.weight"] == rates["vit.layernorm.bias"] == 0.8
    assert rates["vit.layers.3.layernorm_before.weight"] == 0.4
    assert rates["vit.embeddings.cls_token"] == 0.8 / 2**5
    assert len(rates) == len(names)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_moments__are_restored_into_any_optimizer(kind: str) -> None:
    """An optimizer that restores the moments of another one continues like it."""
    phase = Phase(name="a", steps=9, optimizer=kind, weight_decay=0.1)  # type: ignore[arg-type]
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    models = [backbone(), backbone()]
    optimizers = [make_optimizer(learning_layers(model, phase), phase) for model in models]

    def step(place: int) -> None:
        loss = models[place].model(images).logits.square().mean()
        optimizers[place].zero_grad()
        loss.backward()
        optimizers[place].step()

    step(0)
    step(0)
    models[1].model.load_state_dict(models[0].model.state_dict())
    restore_moments(models[1].model, optimizers[1], moments(models[0].model, optimizers[0]))
    step(0)
    step(1)
    for one, other in zip(models[0].model.parameters(), models[1].model.parameters(), strict=True):
        assert torch.equal(one, other)
