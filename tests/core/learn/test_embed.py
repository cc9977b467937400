import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from core.domain.arrays import ProbeSet
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.errors import DegenerateEmbeddingsError
from core.learn.backbones import Backbone, create
from core.learn.embed import embed, load_weights, save_weights, weights_sha256
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice

CPU = torch.device("cpu")


def backbone(*, seed: int = 0) -> Backbone:
    return create("vit-tiny", class_names=("a", "b", "c"), native_image_size=8, seed=seed, allowed_models=())


def probe_set(n_images: int = 37) -> ProbeSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, 8, 8, 3), dtype=np.uint8)
    return ProbeSet(images, rng.integers(0, 3, n_images), np.arange(n_images), ("a", "b", "c"))


def on_cpu(model: Backbone, probe: ProbeSet | None = None) -> ImagesOnDevice:
    return ImagesOnDevice(probe or probe_set(), model, device=CPU)


def test_pixel_values__hand_case() -> None:
    images = np.zeros((2, 1, 1, 3), dtype=np.uint8)
    images[1, 0, 0] = (255, 51, 0)
    model = backbone()
    object.__setattr__(model, "mean", (0.5, 0.1, 0.0))
    object.__setattr__(model, "std", (0.5, 0.2, 2.0))
    held = ImagesOnDevice(LabelledImages(images, np.zeros(2, dtype=np.int64)), model, device=CPU)
    assert held.images.dtype == torch.uint8
    pixels = held.pixel_values(slice(1, 2))
    assert pixels.shape == (1, 3, 1, 1)
    torch.testing.assert_close(pixels.flatten(), torch.tensor([1.0, 0.5, 0.0]))
    torch.testing.assert_close(held.pixel_values(torch.tensor([1])), pixels)


def test_images_on_device__takes_arrays_that_may_not_be_written_to() -> None:
    model, probe, usual = backbone(), probe_set(), probe_set()
    probe.images.setflags(write=False)
    probe.labels.setflags(write=False)
    mapped, written = (embed(model, on_cpu(model, one), step=0, epoch=0.0) for one in (probe, usual))
    np.testing.assert_array_equal(mapped.embeddings, written.embeddings)
    assert (len(mapped.embeddings), mapped.accuracy, mapped.loss) == (37, written.accuracy, written.loss)


def test_embed__equals_the_input_of_the_head() -> None:
    model, probe = backbone(), probe_set()
    frame = embed(model, on_cpu(model, probe), step=7, epoch=1.5)
    pixels = torch.tensor(probe.images).permute(0, 3, 1, 2) / 255 * 2 - 1
    with torch.inference_mode():
        features, logits = model.features_and_logits(pixels)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(probe.labels))
    np.testing.assert_allclose(frame.embeddings, features, atol=1e-5)
    np.testing.assert_array_equal(frame.predictions, logits.argmax(1))
    assert frame.embeddings.shape == (37, model.width)
    assert (frame.embeddings.dtype, frame.predictions.dtype) == (np.float32, np.int64)
    assert frame.loss == pytest.approx(loss.item(), abs=1e-5)
    assert frame.accuracy == pytest.approx(np.mean(frame.predictions == probe.labels))
    assert (frame.step, frame.epoch) == (7, 1.5)


def test_embed__probabilities_if_requested() -> None:
    model = backbone()
    frame = embed(model, on_cpu(model), step=0, epoch=0.0, probabilities=True)
    assert (frame.probabilities.shape, frame.probabilities.dtype) == ((37, 3), np.float32)
    np.testing.assert_allclose(frame.probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(frame.probabilities.argmax(axis=1), frame.predictions)
    np.testing.assert_array_equal(frame.probabilities.max(axis=1), frame.confidences)
    assert embed(model, on_cpu(model), step=0, epoch=0.0).probabilities is None


@pytest.mark.parametrize("batch_size", [1, 10, 36, 37, 500])
def test_embed__does_not_depend_on_batch_size(batch_size: int) -> None:
    model = backbone()
    whole = embed(model, on_cpu(model), step=0, epoch=0.0)
    parts = embed(model, on_cpu(model), step=0, epoch=0.0, batch_size=batch_size)
    np.testing.assert_allclose(parts.embeddings, whole.embeddings, atol=1e-5)
    assert parts.loss == pytest.approx(whole.loss, abs=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_embed__evaluates_and_restores_the_mode(training: bool) -> None:
    model = backbone()
    model.model.vit.embeddings.dropout.p = 0.5
    model.model.train(training)
    before = torch.get_rng_state()
    first, second = (embed(model, on_cpu(model), step=0, epoch=0.0).embeddings for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert model.model.training is training
    assert torch.equal(torch.get_rng_state(), before)


def test_embed__bf16_leaves_as_float32_and_near() -> None:
    model = backbone()
    exact = embed(model, on_cpu(model), step=0, epoch=0.0, precision="fp32").embeddings
    short = embed(model, on_cpu(model), step=0, epoch=0.0, precision="bf16").embeddings
    assert short.dtype == np.float32
    assert not np.array_equal(short, exact)
    np.testing.assert_allclose(short, exact, atol=0.1)


def test_embed__not_finite() -> None:
    model = backbone()
    with torch.no_grad():
        model.model.vit.layernorm.weight[0] = torch.nan
    with pytest.raises(DegenerateEmbeddingsError, match=r"step 12 contain NaN or infinite values\."):
        embed(model, on_cpu(model), step=12, epoch=0.0)


def test_offload__gives_the_embeddings_of_inline(tmp_path: Path) -> None:
    probe, trained = probe_set(), backbone()
    data = LabelledImages(probe.images, probe.labels)
    spec = TrainSpec(steps=4, batch_size=8, learning_rate=1e-2)
    inline = []
    for checkpoint in fine_tune(trained, data, spec=spec, capture_steps=(0, 2, 4)):
        save_weights(tmp_path / f"{checkpoint.index}.safetensors", checkpoint.backbone)
        inline.append(
            embed(trained, on_cpu(trained, probe), step=checkpoint.step, epoch=checkpoint.epoch, probabilities=True)
        )
    elsewhere = backbone(seed=99)
    for index, frame in enumerate(inline):
        load_weights(tmp_path / f"{index}.safetensors", elsewhere)
        offloaded = embed(elsewhere, on_cpu(elsewhere, probe), step=frame.step, epoch=frame.epoch, probabilities=True)
        np.testing.assert_allclose(offloaded.embeddings, frame.embeddings, atol=1e-5)
        np.testing.assert_array_equal(offloaded.predictions, frame.predictions)
        np.testing.assert_allclose(offloaded.probabilities, frame.probabilities, atol=1e-5)
    assert np.abs(inline[0].embeddings - inline[2].embeddings).max() > 0.01


def test_save_weights__are_plain_safetensors(tmp_path: Path) -> None:
    model = backbone()
    save_weights(tmp_path / "weights.safetensors", model)
    stored = load_file(tmp_path / "weights.safetensors")
    assert stored.keys() == model.model.state_dict().keys()
    assert {weights.dtype for weights in stored.values()} == {torch.float32}


def test_load_weights__of_another_model(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.safetensors", backbone())
    small = create("vit-small", class_names=("a", "b"), native_image_size=8, seed=0, allowed_models=())
    with pytest.raises(RuntimeError):
        load_weights(tmp_path / "weights.safetensors", small)


def test_weights_sha256__hand_case() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.5, -2.0]]))
        model.bias.fill_(0.25)
    written = b'["bias", "float32", [1]]\n' + struct.pack("<f", 0.25)
    written += b'["weight", "float32", [1, 2]]\n' + struct.pack("<ff", 1.5, -2.0)
    assert weights_sha256(model) == hashlib.sha256(written).hexdigest()


def test_weights_sha256__is_of_the_numbers_not_of_how_they_are_kept(tmp_path: Path) -> None:
    model, other = backbone(), backbone(seed=1)
    before = weights_sha256(model.model)
    assert weights_sha256(other.model) != before
    save_weights(tmp_path / "weights.safetensors", model)
    load_weights(tmp_path / "weights.safetensors", other)
    other.model.classifier.weight = nn.Parameter(other.model.classifier.weight.T.contiguous().T)
    assert weights_sha256(other.model) == before
    with torch.no_grad():
        other.model.classifier.bias[0] = torch.nextafter(other.model.classifier.bias[0], torch.tensor(9.0))
    assert weights_sha256(other.model) != before


def test_weights_sha256__of_every_type_and_shape() -> None:
    model = nn.BatchNorm1d(3).bfloat16()  # its number of batches is an int64 scalar
    model.register_buffer("nothing", torch.zeros(0, 2))
    assert len(weights_sha256(model)) == 64
    assert weights_sha256(model) != weights_sha256(nn.BatchNorm1d(3))
