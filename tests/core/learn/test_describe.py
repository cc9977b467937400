import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BeitConfig, BeitForImageClassification, PreTrainedConfig, ResNetConfig, ViTConfig

from core.domain.layers import COMMITTED, Description, Layer, descriptions, written
from core.domain.models import DESCRIBED_AT, KNOWN_CHECKPOINTS, PRESETS
from core.errors import UnusableModelError
from core.learn import families
from core.learn.backbones import create
from core.learn.describe import PUBLISHED, describe, every, without_weights
from core.learn.vgg import VGG16BNConfig

CLASSES = tuple("abcdefghij")
VISION_TRANSFORMERS = {"facebook/dinov2-small": 14} | {
    name: 16 for name, checkpoint in KNOWN_CHECKPOINTS.items() if checkpoint.model_type == "vit"
}


@pytest.fixture(scope="module")
def counted() -> dict[str, Description]:
    return every()


def named(layer: Layer, *names: str) -> Layer:
    for name in names:
        [layer] = [child for child in layer.children if child.name == name]
    return layer


def below(layer: Layer) -> list[Layer]:
    return [layer, *(inner for child in layer.children for inner in below(child))]


def vision_transformer_flops(config: PreTrainedConfig, *, side: int, patch: int) -> int:
    """Return the FLOPs of patch embedding; of queries, keys, values, attention twice, projection and MLP in each layer;
    and of the head.
    """
    patches, width, hidden = (side // patch) ** 2, config.hidden_size, getattr(config, "intermediate_size", None)
    hidden = hidden or config.hidden_size * config.mlp_ratio
    tokens = patches + 1
    embedding = 2 * patches * 3 * patch**2 * width
    projections = 4 * 2 * tokens * width * width
    attention = 2 * 2 * tokens * tokens * width
    perceptron = 2 * 2 * tokens * width * hidden
    features = 2 * width if config.model_type == "dinov2" else width
    return embedding + config.num_hidden_layers * (projections + attention + perceptron) + 2 * features * 10


def test_described__equals_the_committed_file(counted: dict[str, Description]) -> None:
    assert counted == descriptions(), "If that is meant, run `make describe` and commit."
    assert written(counted) == COMMITTED.read_text()


@pytest.mark.parametrize(("name", "side"), [(name, side) for name, preset in PRESETS.items() for side in preset.inputs])
def test_preset__has_the_described_numbers_at_each_input_size(
    counted: dict[str, Description], name: str, side: int
) -> None:
    backbone = create(name, class_names=CLASSES, native_image_size=side, seed=0, allowed_models=())
    [size] = [size for size in counted[name].inputs if size.image_size == side]
    assert (backbone.image_size, backbone.parameters, backbone.width) == (side, size.parameters, counted[name].width)
    backbone.model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter:
        backbone.model(torch.zeros(1, 3, side, side))
    assert counter.get_total_flops() == size.flops


@pytest.mark.parametrize("name", PRESETS)
def test_preset__is_taken_apart_at_32_pixels(counted: dict[str, Description], name: str) -> None:
    assert list(PRESETS[name].inputs) == [size.image_size for size in counted[name].inputs]
    [size] = [size for size in counted[name].inputs if size.image_size == DESCRIBED_AT]
    tree = counted[name].layer_tree
    assert (size.flops, size.parameters) == (tree.flops, tree.parameters)


@pytest.mark.parametrize(
    ("name", "side"),
    [(name, side) for name, preset in PRESETS.items() if preset.model_type == "vit" for side in preset.inputs],
)
def test_flops__of_the_small_vision_transformers_are_those_of_the_formula(
    counted: dict[str, Description], name: str, side: int
) -> None:
    config = ViTConfig(**PRESETS[name].config, **PRESETS[name].inputs[side])
    [size] = [size for size in counted[name].inputs if size.image_size == side]
    assert size.flops == vision_transformer_flops(config, side=side, patch=config.patch_size)


def test_flops__of_the_small_residual_network_by_hand(counted: dict[str, Description]) -> None:
    """At 32 pixels: 7 x 7 to 16 x 16, pooled to 8 x 8, then three stages of four convolutions, two of them with a
    shortcut.
    """
    stem = 16**2 * 32 * 3 * 7**2
    stages = 4 * 8**2 * 32 * 32 * 9
    for side, width in ((4, 64), (2, 128)):
        stages += side**2 * width * (width // 2) * (9 + 1) + 3 * side**2 * width * width * 9
    assert counted["resnet-tiny"].layer_tree.flops == 2 * (stem + stages + 128 * 10)


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_flops__of_the_small_convnext_by_hand(counted: dict[str, Description], side: int) -> None:
    """A stem of one patch for each of 8 x 8 positions. Each stage has two layers: 7 x 7 for each channel, then four
    times the width.
    """
    layers = sum(2 * at**2 * width * (49 + 2 * 4 * width) for at, width in ((8, 48), (4, 96), (2, 192)))
    smaller = 4**2 * 96 * 48 * 4 + 2**2 * 192 * 96 * 4
    [size] = [size for size in counted["convnext-mini"].inputs if size.image_size == side]
    assert size.flops == 2 * (side**2 * 3 * 48 + layers + smaller + 192 * 10)


@pytest.mark.parametrize(("model_id", "patch"), VISION_TRANSFORMERS.items())
def test_flops__of_vision_transformers_are_those_of_the_formula(
    counted: dict[str, Description], model_id: str, patch: int
) -> None:
    expected = vision_transformer_flops(PUBLISHED[model_id], side=224, patch=patch)
    assert counted[model_id].layer_tree.flops == expected


@pytest.mark.parametrize(
    ("model_id", "multiply_adds"),
    [
        ("microsoft/resnet-50", 4.09e9),  # torchvision, https://pytorch.org/vision/stable/models.html
        ("microsoft/resnet-152", 11.51e9),
        ("facebook/convnext-tiny-224", 4.46e9),
        ("microsoft/swin-tiny-patch4-window7-224", 4.49e9),
        ("google/vit-base-patch16-224-in21k", 17.56e9),
    ],
)
def test_flops__are_near_the_published(counted: dict[str, Description], model_id: str, multiply_adds: float) -> None:
    assert counted[model_id].layer_tree.flops == pytest.approx(2 * multiply_adds, rel=0.01)


@pytest.mark.parametrize(
    ("model_id", "parameters"),
    [
        ("microsoft/resnet-50", 25_557_032),  # torchvision, with a head of 1,000 classes
        ("microsoft/resnet-152", 60_192_808),
        ("facebook/convnext-tiny-224", 28_589_128),
        ("microsoft/swin-tiny-patch4-window7-224", 28_288_354),
        ("google/vit-base-patch16-224-in21k", 86_567_656),
    ],
)
def test_parameters__are_the_published(counted: dict[str, Description], model_id: str, parameters: int) -> None:
    head = counted[model_id].width + 1
    assert counted[model_id].layer_tree.parameters == parameters - 990 * head


def test_layers__of_a_vision_transformer(counted: dict[str, Description]) -> None:
    tree = counted["google/vit-base-patch16-224-in21k"].layer_tree
    assert (tree.name, tree.kind, tree.output_shape) == ("", "ViTForImageClassification", (10,))
    assert [layer.name for layer in named(tree, "vit").children] == ["embeddings", "layers.0", "layernorm"]
    layer = named(tree, "vit", "layers.0")
    assert (layer.kind, layer.repeat, layer.parameters, layer.output_shape) == ("ViTLayer", 12, 7_087_872, (197, 768))
    parts = [part.name for part in layer.children]
    assert parts == ["layernorm_before", "attention", "layernorm_after", "mlp"]
    assert named(layer, "mlp").flops == 2 * 2 * 197 * 768 * 3072
    assert {part.repeat for part in named(layer, "attention").children} == {1}  # similar, but not equal


def test_layers__of_a_residual_network(counted: dict[str, Description]) -> None:
    encoder = named(counted["microsoft/resnet-50"].layer_tree, "resnet", "encoder")
    assert [stage.output_shape for stage in encoder.children] == [
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
    ]
    stages = [[(layer.name, layer.repeat) for layer in stage.children] for stage in encoder.children]
    assert stages == [[("layers.0", 1), ("layers.1", repeat)] for repeat in (2, 3, 5, 2)]  # the first has a shortcut
    pooler = named(counted["microsoft/resnet-50"].layer_tree, "resnet", "pooler")
    assert (pooler.parameters, pooler.output_shape) == (0, (2048, 1, 1))  # without weights, but with another shape


@pytest.mark.parametrize("model_id", [*PRESETS, *KNOWN_CHECKPOINTS])
def test_layers__hold_no_more_than_the_layer_above(counted: dict[str, Description], model_id: str) -> None:
    for layer in below(counted[model_id].layer_tree):
        assert sum(child.repeat * child.parameters for child in layer.children) <= layer.parameters
        assert sum(child.repeat * child.flops for child in layer.children) <= layer.flops
        assert all(side > 0 for side in layer.output_shape)


@pytest.mark.parametrize("model_id", KNOWN_CHECKPOINTS)
def test_blocks__are_those_of_the_registry(counted: dict[str, Description], model_id: str) -> None:
    found = families.blocks(without_weights(PUBLISHED[model_id]))
    described = counted[model_id].blocks
    assert [block.name for block in described] == [block.name for block in found]
    assert [block.depth_from_head for block in described] == list(range(len(found)))[::-1]
    assert sum(block.parameters for block in described) == counted[model_id].layer_tree.parameters


@pytest.mark.parametrize("model_id", [*PRESETS, *KNOWN_CHECKPOINTS])
def test_blocks__are_layers_of_the_tree(counted: dict[str, Description], model_id: str) -> None:
    def paths(layer: Layer, above: str = "") -> set[str]:
        stem, dot, last = layer.name.rpartition(".")
        names = [f"{stem}{dot}{int(last) + k}" for k in range(layer.repeat)] if layer.repeat > 1 else [layer.name]
        own = {f"{above}.{name}".strip(".") for name in names}
        return own.union(*(paths(child, path) for child in layer.children for path in own))

    assert {block.name for block in counted[model_id].blocks} <= paths(counted[model_id].layer_tree)


def test_describe__a_family_whose_blocks_have_several_modules() -> None:
    described = describe(without_weights(VGG16BNConfig(num_labels=10)), image_size=224)
    assert described.layer_tree.flops == pytest.approx(2 * 15.47e9, rel=0.01)
    assert (described.blocks[0].name, described.blocks[0].depth_from_head) == ("features.0", 15)
    assert (described.layers, described.width) == (None, 4096)
    assert named(described.layer_tree, "features", "6").output_shape == (64, 112, 112)  # the first pooling


def test_describe__twice_is_the_same_and_makes_no_weights() -> None:
    model = without_weights(ResNetConfig(num_labels=10))
    assert describe(model, image_size=64) == describe(model, image_size=64)
    assert all(weights.is_meta for weights in model.parameters())


def test_describe__at_another_size() -> None:
    tree = describe(without_weights(ViTConfig(image_size=32, patch_size=16, num_labels=3)), image_size=32).layer_tree
    assert named(tree, "vit", "embeddings").output_shape == (5, 768)


def test_describe__a_family_that_is_not_registered() -> None:
    small = BeitConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    with pytest.raises(UnusableModelError):
        describe(BeitForImageClassification(small), image_size=224)
