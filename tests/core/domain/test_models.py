import pytest

from core.domain.models import KNOWN_CHECKPOINTS, PRESETS, Architecture, Geometry, known_models


def test_flops__by_hand() -> None:
    """Four patches of 3 x 2 x 2 numbers and a class token; 2 features, one block with 3 hidden ones, 5 classes."""
    small = Architecture(width=2, depth=1, heads=1, hidden_width=3)
    patches = 4 * 12 * 2
    projections, attention = 4 * 5 * 2 * 2, 2 * 5 * 5 * 2
    perceptron = 5 * (2 * 3 + 3 * 2)
    head = 2 * 5
    expected = 2 * (patches + projections + attention + perceptron + head)
    assert small.flops(Geometry(image_size=4, patch_size=2), n_classes=5) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_known_models__tell_a_preset_at_each_input(name: str) -> None:
    card = next(card for card in known_models(()) if card.id == name)
    assert [size.image_size for size in card.inputs] == [8, 16, 32, 64]
    assert (card.parameters, card.flops) == (card.inputs[2].parameters, card.inputs[2].flops)
    assert card.image_size is None


@pytest.mark.parametrize("name", KNOWN_CHECKPOINTS)
def test_known_models__tell_a_checkpoint_at_its_input(name: str) -> None:
    [card] = [card for card in known_models((name,)) if card.id == name]
    [size] = card.inputs
    assert (size.image_size, size.parameters, size.flops) == (card.image_size, card.parameters, card.flops)


def test_known_models__tell_nothing_of_a_checkpoint_that_is_only_allowed() -> None:
    card = known_models(("somebody/unknown",))[-1]
    assert (card.parameters, card.flops, card.image_size, card.inputs) == (None, None, None, ())
