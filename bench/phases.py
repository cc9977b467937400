"""Training against what a user would do otherwise, on the digits, in turns in one run.

- feature extraction: 16 epochs of the head on features that are computed once, against a loop that passes every batch
  through the frozen model each time, as the transfer-learning guides do;
- images a second of fine-tuning, against the same model, batch and optimiser in a plain Trainer of transformers.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments

from bench.training import prepare
from core.domain.phases import LayerDecay
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn import datasets
from core.learn.backbones import Backbone
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice

EPOCHS, BATCH, STEPS = 16, 64, 100
HEAD = TrainSpec.model_validate(
    {
        "batch_size": BATCH,
        "phases": [{"name": "head", "trainable": "head", "epochs": EPOCHS, "optimizer": "adam", "weight_decay": 0}],
    }
)
WHOLE = TrainSpec(steps=STEPS, batch_size=BATCH)


def main(options: argparse.Namespace) -> None:
    print("| training on the digits, vit-tiny | ours | the usual way | ratio | asked |\n|---|---|---|---|---|")
    ours, theirs = _in_turns(options.repeats, features_once, features_each_time)
    print(f"| {EPOCHS} epochs of the head alone | {ours:.2f} s | {theirs:.2f} s | {theirs / ours:.1f} | 8 |")
    ours, theirs = _in_turns(options.repeats, fine_tuning, trainer)
    images = BATCH * STEPS
    rates = f"{images / ours:.0f} images/s | {images / theirs:.0f} images/s"
    print(f"| fine-tuning, {STEPS} steps of {BATCH} | {rates} | {theirs / ours:.2f} | 1.3 |")


def features_once() -> float:
    """Seconds of the head's training as a run does it."""
    backbone, images = _digits()
    spec = HEAD.settled(n_images=len(images.labels), decay=LayerDecay(kind="exponential", factor=1))
    return _seconds(lambda: list(fine_tune(backbone, images, spec=spec, capture_steps=(0, spec.steps))))


def features_each_time() -> float:
    """Seconds of a loop that freezes the model, replaces nothing, and passes each batch through all of it."""
    backbone, images = _digits()
    backbone.model.requires_grad_(False)
    backbone.head.requires_grad_(True)
    backbone.model.eval()
    adam = torch.optim.Adam(backbone.head.parameters(), lr=1e-3)
    loader = DataLoader(_Pairs(images, backbone), batch_size=BATCH, shuffle=True)

    def train() -> None:
        for _ in range(EPOCHS):
            for batch in loader:
                adam.zero_grad()
                cross_entropy(backbone.model(batch["pixel_values"]).logits, batch["labels"]).backward()
                adam.step()

    return _seconds(train)


def fine_tuning() -> float:
    """Seconds of our training of all layers."""
    backbone, images = _digits()
    return _seconds(lambda: list(fine_tune(backbone, images, spec=WHOLE, capture_steps=(0, STEPS))))


def trainer() -> float:
    """Seconds of transformers' Trainer on the same images, already at the model's size and normalised."""
    backbone, images = _digits()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=STEPS,
            per_device_train_batch_size=BATCH,
            learning_rate=WHOLE.learning_rate,
            weight_decay=WHOLE.weight_decay,
            warmup_steps=round(WHOLE.warmup * STEPS),
            lr_scheduler_type="cosine",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=not torch.cuda.is_available(),
        )
        model: nn.Module = backbone.model
        theirs = Trainer(model, arguments, train_dataset=_Pairs(images, backbone))
        return _seconds(theirs.train)


class _Pairs(Dataset[dict[str, torch.Tensor]]):
    """Normalised images and labels one by one, as a data set of torch gives them."""

    def __init__(self, images: LabelledImages, backbone: Backbone) -> None:
        on_device = ImagesOnDevice(images, backbone, device=torch.device("cpu"))
        self._pixels, self._labels = on_device.pixel_values(slice(None)), on_device.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self._pixels[place], "labels": self._labels[place]}


def _digits() -> tuple[Backbone, LabelledImages]:
    source = datasets.open_source("digits", uploaded=None, allowed_hub=())
    backbone, images, _ = prepare(source, model="vit-tiny", spec=WHOLE, probe_size=3)
    return backbone, images


def _in_turns(repeats: int, *ways: Callable[[], float]) -> list[float]:
    """Medians of the seconds of each way."""
    rounds = [[way() for way in ways] for _ in range(repeats)]
    return [statistics.median(seconds) for seconds in zip(*rounds, strict=True)]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
