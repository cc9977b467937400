"""Embedding of the probe set at a checkpoint, and files of weights for other workers.

Forward passes use the precision of the training, and features are converted to float32. Weights are float32 and are
stored as safetensors, so a stored checkpoint gives the same embeddings as the live model.
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
"""Images per forward pass of embedding. Chosen by hand; not measured."""


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
    """Compute features, predictions, loss and accuracy of the probe set in evaluation mode.

    Training modes and torch's random state do not change.

    Args:
        backbone: the model at this checkpoint, on the probe set's device.
        probe: N images.
        step: optimiser steps done.
        epoch: passes over the training images done.
        batch_size: images per forward pass; affects memory and speed only.
        precision: precision of the forward passes; embeddings are float32.
        features: (N, D) float32, the result of `features_of` with the same batch size, if nothing before the head has
            changed since. Only the head makes a forward pass then. None means a forward pass of the whole model.
        probabilities: True if the frame contains the probabilities of all classes.

    Returns:
        The frame: embeddings (N, D) float32, which are the input of the classification head; predictions and
        confidences (N,); probabilities (N, C) float32 or None; mean cross-entropy and accuracy, 0..1.

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
    """Write the model's weights as safetensors, to be read by `load_weights`.

    Args:
        path: the file.
        backbone: the model.
    """
    save_model(backbone.model, str(path))


def load_weights(path: Path, backbone: Backbone) -> None:
    """Load stored weights into a model of the same architecture; the model stays on its device.

    Args:
        path: a file that `save_weights` wrote.
        backbone: the model; its weights are replaced.

    Raises:
        RuntimeError: the weights have other names or shapes than the model's.
    """
    load_model(backbone.model, path, strict=True, device=str(backbone.device))


def weights_sha256(model: nn.Module) -> str:
    """Compute the SHA-256 of a model's weights, independent of the device and the file format.

    The hashed bytes are, for each tensor of the model's state, sorted by name: a line of JSON, [name, dtype, shape],
    followed by the bytes of the tensor's elements in row-major order.

    Args:
        model: the model.

    Returns:
        64 hexadecimal digits.
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
    """Compute the penultimate features: the input of the classification head.

    The model is in evaluation mode and in the context `fast_forward`; afterwards the modes of all modules are restored.

    Args:
        backbone: the model, on the images' device.
        images: N images.
        batch_size: images per forward pass; affects memory and speed only.
        precision: precision of the forward passes.
        on_batch: called after each forward pass; None means no call.

    Returns:
        (N, D) float32, on the model's device.
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
    return torch.cat(features)  # outside inference mode, because autograd refuses inference tensors


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
            f"The embeddings at step {step} contain NaN or infinite values. Lower train.learning_rate, raise "
            "train.warmup, or train in fp32; then start a new run.",
            field="train.learning_rate",
        )
