"""Training against what a user would do otherwise, on images of 32 x 32 pixels, in turns in one run.

- feature extraction: 16 epochs of the head on features that are computed once, against a loop that passes every batch
  through the frozen model each time, as the transfer-learning guides do;
- images a second of fine-tuning, against the same model, batch and optimiser in a plain script: a data set of the
  datasets library, the model's image processor as its transform, transformers' Trainer.

The usual ways are given the model as transformers makes it. Each way runs in a process of its own, ours with the
variables of a worker's child, and is timed the second time: one leaves memory and threads behind that slow others down.
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
    print("| 2,000 images of 32 x 32 pixels | ours | the usual way | ratio | asked |\n|---|---|---|---|---|")
    ours, theirs = _in_turns(options.repeats, features_once, features_each_time)
    _row(f"`vit-tiny`, the head alone, {EPOCHS} epochs", f"{ours:.2f} s", f"{theirs:.2f} s", theirs / ours, asked=8)
    images = BATCH * STEPS
    for preset in ("vit-tiny", "resnet-tiny", "convnext-mini"):
        ours, theirs = _in_turns(options.repeats, partial(fine_tuning, preset), partial(trainer, preset))
        rates = (f"{images / seconds:.0f} images/s" for seconds in (ours, theirs))
        _row(f"`{preset}`, all of it, {STEPS} steps of {BATCH}", *rates, theirs / ours, asked=1.3)


def _row(what: str, ours: str, theirs: str, ratio: float, *, asked: float) -> None:
    print(f"| {what} | {ours} | {theirs} | {ratio:.2f} | {asked} |", flush=True)


def features_once() -> float:
    """Seconds of the head's training as a run does it."""
    backbone, images = noise("vit-tiny", n_images=IMAGES)
    spec = HEAD.settled(n_images=len(images.labels), decay=LayerDecay(kind="exponential", factor=1))
    return _seconds(lambda: list(fine_tune(backbone, images, spec=spec, capture_steps=(0, spec.steps))))


def features_each_time() -> float:
    """Seconds of a loop that freezes the model, replaces nothing, and passes each batch through all of it."""
    backbone, images = noise("vit-tiny", n_images=IMAGES)
    model = _as_transformers_makes_it(backbone)
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
    """Seconds of our training of all layers."""
    backbone, images = noise(preset, n_images=IMAGES)
    return _seconds(lambda: list(fine_tune(backbone, images, spec=WHOLE, capture_steps=(0, STEPS))))


def trainer(preset: str) -> float:
    """Seconds of transformers' Trainer on the same images as a data set of PIL images."""
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
        model = _as_transformers_makes_it(backbone)
        return _seconds(Trainer(model, arguments, train_dataset=data).train)


def _as_transformers_makes_it(backbone: Backbone) -> PreTrainedModel:
    model = type(backbone.model)(backbone.model.config)
    model.load_state_dict(backbone.model.state_dict())
    return model


def _in_turns(repeats: int, *trails: Callable[[], float]) -> list[float]:
    """Medians of the seconds of each way, the first of which is ours."""
    variables = [TUNING, *({} for _ in trails[1:])]
    rounds = [[_alone(*one) for one in zip(trails, variables, strict=True)] for _ in range(repeats)]
    return [statistics.median(seconds) for seconds in zip(*rounds, strict=True)]


def _alone(way: Callable[[], float], variables: Mapping[str, str]) -> float:
    """What it says the second time in a new process."""
    with patch.dict(os.environ, variables), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return [process.submit(way).result() for _ in range(2)][-1]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
