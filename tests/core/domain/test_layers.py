import json

import pytest
from pydantic import ValidationError

from core.domain.layers import COMMITTED, DescribedBlock, Description, InputSize, Layer, descriptions, written
from core.domain.models import KNOWN_CHECKPOINTS, PRESETS, known_models

DESCRIBED = [*PRESETS, *KNOWN_CHECKPOINTS]


def test_descriptions__are_of_every_preset_and_well_known_checkpoint() -> None:
    assert list(descriptions()) == DESCRIBED


@pytest.mark.parametrize("model_id", DESCRIBED)
def test_descriptions__agree_with_the_cards(model_id: str) -> None:
    card = next(card for card in known_models(KNOWN_CHECKPOINTS) if card.id == model_id)
    described = descriptions()[model_id]
    assert (described.layer_tree.parameters, described.layer_tree.flops) == (card.parameters, card.flops)
    assert (described.layer_tree.parameters, described.layer_tree.flops) in [
        (size.parameters, size.flops) for size in described.inputs
    ]
    assert sum(block.parameters for block in described.blocks) == card.parameters
    assert described.blocks[-1].depth_from_head == 0


def test_written__is_read_as_it_was() -> None:
    assert written(descriptions()) == COMMITTED.read_text()
    part = Layer(name="layers.0", kind="Linear", parameters=6, flops=12, output_shape=(3,), repeat=2)
    whole = Layer(name="", kind="Model", parameters=12, flops=24, output_shape=(3,), children=(part,))
    made = Description(
        layers=2,
        width=3,
        inputs=(InputSize(8, parameters=12, flops=24),),
        blocks=(DescribedBlock(name="layers.0", depth_from_head=1, parameters=6),),
        layer_tree=whole,
    )
    [line] = json.loads(written({"some/model": made})).values()
    assert Description.model_validate(line) == made
    assert "repeat" not in line["layer_tree"]


def test_layer__repeats_at_least_once() -> None:
    with pytest.raises(ValidationError):
        Layer(name="", kind="Model", parameters=0, flops=0, output_shape=(), repeat=0)
