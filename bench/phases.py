"""Training compared with the usual methods, on images of 32 x 32 pixels. Measurements alternate.

- Linear probing: 16 epochs of the head on features that are computed once. The usual method passes each batch through
  the frozen model, as transfer-learning guides do.
- Fine-tuning, images per second. The usual method is a script with the same model, batch size and optimiser: a dataset
  of the datasets library with the model's image processor as transform, and transformers' Trainer.

The usual methods use the model without our changes to its layers. Each measurement runs in a separate process, because
memory and threads of an earlier one would slow it down. Our processes have the environment variables of a worker's
child. Only the second run in each process is timed.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from unittest.mock import patch

import torch
from datasets import Dataset
from PIL import Image
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from transformers import PreTrainedModel, Trainer, TrainingArguments, ViTImageProcessor

from core.domain.phases import LayerDecay
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from testing.noise import noise
from worker.child import TUNING

EPOCHS, BATCH, STEPS = 16, 64, 100
IMAGES = 2000
HEAD = TrainSpec.model_validate(
    {
        "batch_size": BATCH,
        "phases": [{"name": "head", "trainable": "head", "epochs": EPOCHS, "optimizer": "adam", "weight_decay": 0}],
    }
)
WHOLE = TrainSpec(steps=STEPS, batch_size=BATCH)


def main(options: argparse.Namespace) -> None:
    print("| 2,000 images of 32 x 32 pixels | ours | usual method | ratio | target |\n|---|---|---|---|---|")
    ours, theirs = _medians(options.repeats, features_once, features_each_time)
    _row(f"`vit-tiny`, the head alone, {EPOCHS} epochs", f"{ours:.2f} s", f"{theirs:.2f} s", theirs / ours, target=8)
    images = BATCH * STEPS
    for preset in ("vit-tiny", "resnet-tiny", "convnext-mini"):
        ours, theirs = _medians(options.repeats, partial(fine_tuning, preset), partial(trainer, preset))
        rates = (f"{images / seconds:.0f} images/s" for seconds in (ours, theirs))
        _row(f"`{preset}`, all of it, {STEPS} steps of {BATCH}", *rates, theirs / ours, target=1.3)


def _row(what: str, ours: str, theirs: str, ratio: float, *, target: float) -> None:
    print(f"| {what} | {ours} | {theirs} | {ratio:.2f} | {target} |", flush=True)


def features_once() -> float:
    """Return the seconds of linear probing as in a run."""
    backbone, images = noise("vit-tiny", n_images=IMAGES)
    spec = HEAD.settled(n_images=len(images.labels), decay=LayerDecay(kind="exponential", factor=1))
    return _seconds(lambda: list(fine_tune(backbone, images, spec=spec, capture_steps=(0, spec.steps))))


def features_each_time() -> float:
    """Return the seconds of linear probing in a loop that passes each batch through the whole frozen model."""
    backbone, images = noise("vit-tiny", n_images=IMAGES)
    model = _plain_model(backbone)
    model.requires_grad_(False)
    model.classifier.requires_grad_(True)
    model.eval()
    adam = torch.optim.Adam(model.classifier.parameters(), lr=1e-3)
    ready = ImagesOnDevice(images, backbone, device=torch.device("cpu"))
    data = TensorDataset(ready.pixel_values(slice(None)), ready.labels)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)

    def train() -> None:
        for _ in range(EPOCHS):
            for pixel_values, labels in loader:
                adam.zero_grad()
                cross_entropy(model(pixel_values).logits, labels).backward()
                adam.step()

    return _seconds(train)


def fine_tuning(preset: str) -> float:
    """Return the seconds of our training of all layers."""
    backbone, images = noise(preset, n_images=IMAGES)
    return _seconds(lambda: list(fine_tune(backbone, images, spec=WHOLE, capture_steps=(0, STEPS))))


def trainer(preset: str) -> float:
    """Return the seconds of transformers' Trainer on the same images, as a dataset of PIL images."""
    backbone, images = noise(preset, n_images=IMAGES)
    size = {"height": backbone.image_size, "width": backbone.image_size}
    processor = ViTImageProcessor(size=size, image_mean=backbone.mean, image_std=backbone.std)

    def transform(batch: dict[str, list[object]]) -> dict[str, object]:
        return {**processor(batch["image"], return_tensors="pt"), "labels": torch.tensor(batch["label"])}

    pictures = [Image.fromarray(image) for image in images.images]
    data = Dataset.from_dict({"image": pictures, "label": images.labels.tolist()}).with_transform(transform)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            learning_rate=WHOLE.learning_rate,
            weight_decay=WHOLE.weight_decay,
            warmup_steps=round(WHOLE.warmup * STEPS),
            lr_scheduler_type="cosine",
            remove_unused_columns=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=not torch.cuda.is_available(),
        )
        model = _plain_model(backbone)
        return _seconds(Trainer(model, arguments, train_dataset=data).train)


def _plain_model(backbone: Backbone) -> PreTrainedModel:
    """Return a new model of transformers with the weights of the backbone."""
    model = type(backbone.model)(backbone.model.config)
    model.load_state_dict(backbone.model.state_dict())
    return model


def _medians(repeats: int, *methods: Callable[[], float]) -> list[float]:
    """Return the median seconds of each method. The first method is ours."""
    variables = [TUNING, *({} for _ in methods[1:])]
    measured = [[_alone(*one) for one in zip(methods, variables, strict=True)] for _ in range(repeats)]
    return [statistics.median(seconds) for seconds in zip(*measured, strict=True)]


def _alone(method: Callable[[], float], variables: Mapping[str, str]) -> float:
    """Call a method twice in a new process with these environment variables. Return the second result."""
    with patch.dict(os.environ, variables), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return [process.submit(method).result() for _ in range(2)][-1]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
