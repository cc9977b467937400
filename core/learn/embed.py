"""The probe set as one checkpoint sees it, and checkpoints on their way to another worker.

Training with bf16 embeds with bf16, but features leave as float32. Weights are always stored as float32
safetensors, so a stored checkpoint gives the embeddings that the live model gave.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.domain.arrays import Embedded
from core.errors import DegenerateEmbeddingsError
from core.learn.backbones import Backbone
from core.learn.fast_forward import fast_forward
from core.learn.pixels import ImagesOnDevice, Precision, autocast

BATCH_SIZE = 250


def embed(
    backbone: Backbone,
    probe: ImagesOnDevice,
    *,
    step: int,
    epoch: float,
    batch_size: int = BATCH_SIZE,
    precision: Precision = "auto",
    features: Tensor | None = None,
    probabilities: bool = False,
) -> Embedded:
    """Features, predictions, loss and accuracy of the probe set: one forward pass in evaluation mode.

    The model's training mode and torch's random state are left as they were.

    Args:
        backbone: the model at this checkpoint, on the probe set's device.
        probe: N images, put on the device once.
        step: optimiser steps done.
        epoch: passes over the training images done.
        batch_size: images a forward pass; changes memory and speed only.
        precision: of the forward pass; embeddings are float32.
        features: (N, D) float32 of `features_of` with the same batch size, where nothing before the head has changed
            since: then only the head is asked. None: the whole model.
        probabilities: whether the frame keeps the probabilities of all classes.

    Returns:
        One frame: embeddings (N, D), what the classification head is given.

    Raises:
        DegenerateEmbeddingsError: a feature is NaN or infinite.
    """
    if features is None:
        features = features_of(backbone, probe, batch_size=batch_size, precision=precision)
    logits = _judged(backbone, features, batch_size=batch_size, precision=precision)
    judged = logits.softmax(dim=1)
    confidences, predictions = judged.max(dim=1)
    loss = cross_entropy(logits, probe.labels)
    accuracy = (predictions == probe.labels).float().mean()
    embeddings = features.cpu()
    _require_finite(embeddings, step)
    return Embedded(
        embeddings=embeddings.numpy(),
        predictions=predictions.cpu().numpy(),
        step=step,
        epoch=epoch,
        loss=loss.item(),
        accuracy=accuracy.item(),
        confidences=confidences.cpu().numpy(),
        probabilities=judged.cpu().numpy() if probabilities else None,
    )


def save_weights(path: Path, backbone: Backbone) -> None:
    """Write the weights as safetensors; what `load_weights` needs to embed somewhere else."""
    save_model(backbone.model, str(path))


def load_weights(path: Path, backbone: Backbone) -> None:
    """Put stored weights into a model of the same kind, on the device where it is.

    Raises:
        RuntimeError: the weights are of another model.
    """
    load_model(backbone.model, path, strict=True, device=str(backbone.device))


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of the weights themselves, in whatever file or on whatever device they are.

    Over the tensors of the model's state, sorted by name: for each one line of JSON, [name, dtype, shape], and then its
    numbers' bytes in row order.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        kind = str(tensor.dtype).removeprefix("torch.")
        digest.update(json.dumps([name, kind, list(tensor.shape)]).encode() + b"\n")
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def features_of(
    backbone: Backbone,
    images: ImagesOnDevice,
    *,
    batch_size: int = BATCH_SIZE,
    precision: Precision = "auto",
    on_batch: Callable[[], None] | None = None,
) -> Tensor:
    """Penultimate features, the input of the classification head: (N, D) float32, on the model's device.

    Computed in evaluation mode and with `fast_forward`; the modes of all modules are restored.

    Args:
        backbone: the model, on the images' device.
        images: N images.
        batch_size: images a forward pass.
        precision: of the forward pass.
        on_batch: called after each forward pass.
    """
    features = []
    with (
        fast_forward(backbone.model),
        _evaluating(backbone.model),
        torch.inference_mode(),
        autocast(images.device, precision),
    ):
        for start in range(0, len(images), batch_size):
            pixel_values = images.pixel_values(slice(start, start + batch_size))
            features.append(backbone.features_and_logits(pixel_values)[0].float())
            if on_batch is not None:
                on_batch()
    return torch.cat(features)  # outside inference mode, so that a training may use them


def _judged(backbone: Backbone, features: Tensor, *, batch_size: int, precision: Precision) -> Tensor:
    """Logits (N, C) float32 of features (N, D)."""
    with torch.inference_mode(), autocast(features.device, precision):
        return torch.cat([backbone.head(part).float() for part in torch.split(features, batch_size)])


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _require_finite(embeddings: Tensor, step: int) -> None:
    if not torch.isfinite(embeddings).all():
        raise DegenerateEmbeddingsError(
            f"The embeddings at step {step} are not finite. Lower train.learning_rate, raise "
            "train.warmup, or train in fp32; then start a new run.",
            field="train.learning_rate",
        )
