import pytest

from core.domain.families import FAMILIES
from core.domain.models import KNOWN_CHECKPOINTS, PRESETS, known_models, require_known
from core.errors import UnknownModelError


@pytest.mark.parametrize(
    ("name", "native", "side"),
    [
        *(("vit-tiny", *sides) for sides in ((1, 8), (8, 8), (9, 16), (28, 32), (33, 64), (500, 64))),
        *(("resnet-tiny", *sides) for sides in ((1, 32), (8, 32), (32, 32), (33, 64), (500, 64))),
    ],
)
def test_preset__takes_the_smallest_input_that_holds_the_images(name: str, native: int, side: int) -> None:
    assert PRESETS[name].input_for(native) == side


@pytest.mark.parametrize("name", PRESETS)
def test_known_models__list_a_preset_at_each_input_size(name: str) -> None:
    card = next(card for card in known_models(()) if card.id == name)
    sizes = {size.image_size: size for size in card.inputs}
    assert list(sizes) == sorted(PRESETS[name].inputs)
    assert (card.parameters, card.flops) == (sizes[32].parameters, sizes[32].flops)
    family = FAMILIES[PRESETS[name].model_type]
    assert (card.kind, card.family, card.pooling) == ("preset", family.name, family.pooling)
    assert card.image_size is None


@pytest.mark.parametrize("name", KNOWN_CHECKPOINTS)
def test_known_models__list_a_checkpoint_at_its_input_size(name: str) -> None:
    [card] = [card for card in known_models((name,)) if card.id == name]
    [size] = card.inputs
    assert (size.image_size, size.parameters, size.flops) == (card.image_size, card.parameters, card.flops)


def test_known_models__a_checkpoint_that_is_only_allowed_has_no_numbers() -> None:
    card = known_models(("somebody/unknown",))[-1]
    assert (card.parameters, card.flops, card.image_size, card.inputs) == (None, None, None, ())


def test_require_known__lists_the_known_ones() -> None:
    require_known("resnet-tiny", ())
    require_known("somebody/unknown", ("somebody/unknown",))
    with pytest.raises(UnknownModelError, match="resnet-tiny, convnext-mini, somebody/unknown"):
        require_known("resnet", ("somebody/unknown",))
