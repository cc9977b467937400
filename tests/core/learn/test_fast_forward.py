"""Outside `fast_forward` a model is unchanged. Inside it computes the same, faster."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.domain.spec import TrainSpec
from core.learn.embed import embed
from core.learn.families import blocks
from core.learn.fast_forward import fast_forward
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from testing.noise import noise
from tests.core.learn.small_training import backbone, blobs, of_family
from tests.core.learn.test_families import CONFIGS

LABELS = torch.tensor([0, 1, 1, 0])
WITH_ATTENTION = ("vit", "deit", "dinov2", "swin")
every_family = pytest.mark.parametrize("kind", CONFIGS)


def pixels() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def made(kind: str, **changes: object) -> nn.Module:
    config = CONFIGS[kind]
    return of_family(kind, type(config)(**config.to_dict() | changes)).model.eval()


def fired(model: nn.Module) -> set[str]:
    """Return the paths of the modules whose forward hooks are called in one forward pass."""
    seen: set[str] = set()
    watches = [
        module.register_forward_hook(lambda *_given, path=path: seen.add(path))
        for path, module in model.named_modules()
    ]
    model(pixels())
    for watch in watches:
        watch.remove()
    return seen


def gradients(model: nn.Module) -> dict[str, Tensor]:
    model.zero_grad()
    cross_entropy(model(pixels().double()).logits, LABELS).backward()
    return {name: weights.grad for name, weights in model.named_parameters()}


def patched(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if "forward" in vars(module)]


@every_family
def test_outside__hooks_on_every_block_and_layer_fire(kind: str) -> None:
    model = made(kind)
    with fast_forward(model):
        pass
    seen = fired(model)
    assert {block.name for block in blocks(model)} <= seen
    # A list of layers is iterated and not called.
    layers = {path for path, module in model.named_modules() if not isinstance(module, nn.ModuleList | nn.Sequential)}
    assert layers <= seen


@pytest.mark.parametrize("kind", ["vit", "deit"])
def test_outside__the_last_block_returns_all_tokens(kind: str) -> None:
    model, shapes = made(kind), []
    model.get_submodule(blocks(model)[-2].name).register_forward_hook(lambda *given: shapes.append(given[-1].shape))
    with fast_forward(model):
        model(pixels())
    model(pixels())
    assert [shape[1] for shape in shapes] == [1, {"vit": 17, "deit": 18}[kind]]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", WITH_ATTENTION)
def test_attentions__are_returned_on_request(kind: str, inside: bool) -> None:
    model = made(kind)
    model.set_attn_implementation("eager")
    plain = model(pixels(), output_attentions=True)
    if inside:
        with fast_forward(model):
            found = model(pixels(), output_attentions=True)
    else:
        with fast_forward(model):
            pass
        found = model(pixels(), output_attentions=True)
    assert len(found.attentions) == (2 if kind == "swin" else 3)
    for attention in found.attentions:
        assert attention.shape[-1] == attention.shape[-2]
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))
    assert all(map(torch.equal, found.attentions, plain.attentions))
    torch.testing.assert_close(found.logits, plain.logits)


@every_family
def test_inside__logits_and_gradients_are_the_same(kind: str) -> None:
    model = made(kind)
    plain = model(pixels()).logits
    with fast_forward(model):
        torch.testing.assert_close(model(pixels()).logits, plain)
    model.double()
    expected = gradients(model)
    with fast_forward(model):
        found = gradients(model)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=lambda message, name=name: f"{name}: {message}")


@every_family
def test_inside__embeddings_are_those_of_the_plain_model(kind: str) -> None:
    live = of_family(kind, CONFIGS[kind])
    probe = ImagesOnDevice(blobs_of_side(32), live, device=torch.device("cpu"))
    frame = embed(live, probe, step=0, epoch=0.0)
    assert patched(live.model) == []
    live.model.eval()
    with torch.inference_mode():
        features, _logits = live.features_and_logits(probe.pixel_values(slice(None)))
    torch.testing.assert_close(torch.tensor(frame.embeddings), features)


def blobs_of_side(side: int):
    small = blobs(6)
    images = small.images.repeat(side // 8, axis=1).repeat(side // 8, axis=2)
    return type(small)(images, small.labels % 2)


@every_family
def test_undone__also_after_an_exception_and_when_nested(kind: str) -> None:
    model = made(kind)
    before = model(pixels()).logits
    with fast_forward(model):
        with pytest.raises((RuntimeError, ValueError)), fast_forward(model):
            model(pixels()[0, 0])
        assert bool(patched(model)) == (kind in ("vit", "deit", "convnext"))
    assert patched(model) == []
    with pytest.raises((RuntimeError, ValueError)), fast_forward(model):
        model(pixels()[0, 0])
    assert patched(model) == []
    assert torch.equal(model(pixels()).logits, before)


def test_fast_forward__restores_a_replaced_forward() -> None:
    model = made("vit")
    last, theirs = model.get_submodule("vit.layers.2"), []
    plain = last.forward
    last.forward = lambda *given, **options: theirs.append(1) or plain(*given, **options)
    with fast_forward(model):
        model(pixels())
        assert theirs == []
    model(pixels())
    assert theirs == [1]


@pytest.mark.parametrize("preset", ["vit-tiny", "convnext-mini"])
def test_training__shows_a_plain_model_at_every_checkpoint(preset: str) -> None:
    live, data = noise(preset, n_images=4)
    for _ in fine_tune(live, data, spec=TrainSpec(steps=1, batch_size=4), capture_steps=(0, 1)):
        assert patched(live.model) == []
        assert patched(copy.deepcopy(live.model)) == []


def test_training__is_fast_while_it_computes() -> None:
    live, lengths = backbone(), []
    last = live.model.get_submodule("vit.layers.3")
    last.register_forward_hook(lambda *given: lengths.append(given[-1].shape[1]))
    list(fine_tune(live, blobs(8), spec=TrainSpec(steps=1, batch_size=8), capture_steps=(0, 1)))
    assert lengths == [1, 1]
