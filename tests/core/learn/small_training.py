"""Models, images and processes that are small enough to train many of them in a test."""

import importlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, ViTConfig, ViTForImageClassification

from core.domain.families import FAMILIES
from core.domain.phases import Phase
from core.domain.sources import LabelledImages
from core.domain.spec import TrainSpec
from core.learn.backbones import Backbone, create
from core.learn.families import classifier_class
from core.learn.hooks import TrainingHook
from core.learn.hub import classification_head
from core.learn.training_state import LiveState
from testing.service import free_port
from tests.forking import warm_up

COLOURS = np.array([[220, 30, 30], [30, 200, 40], [40, 40, 230]])


class Saving(TrainingHook):
    """Saves a state at each pause in `folder/<step>`. Without a folder, saves nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def on_pause(self, state: LiveState) -> None:
        if self._folder:
            state.save(self._folder / str(state.step))


class Hook(TrainingHook):
    """Calls these functions at each step and at each pause."""

    def __init__(
        self,
        *,
        on_step: Callable[[int], None] | None = None,
        on_pause: Callable[[LiveState], None] | None = None,
        wants_pause: Callable[[], bool] | None = None,
    ) -> None:
        self.on_step = on_step or super().on_step
        self.on_pause = on_pause or super().on_pause
        self.wants_pause = wants_pause or super().wants_pause


def blobs(n_images: int = 50, *, seed: int = 0) -> LabelledImages:
    """Return noisy images of three colours, 8 x 8 pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_images)
    noise = rng.normal(0, 60, (n_images, 8, 8, 3))
    return LabelledImages((COLOURS[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8), labels)


def backbone(*, dropout: float = 0.0, seed: int = 0, width: int = 32, layers: int = 4) -> Backbone:
    """Make a ViT for images of 8 x 8 pixels that is smaller than every preset."""
    made = create("vit-tiny", class_names=("r", "g", "b"), native_image_size=8, seed=seed, allowed_models=())
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 2 * width}
    config = made.model.config.to_dict() | sizes | {"initializer_range": width**-0.5}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ViTForImageClassification(ViTConfig(**config))
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = dropout
    return replace(made, model=model, head=model.classifier)


def by_sgd(spec: TrainSpec) -> TrainSpec:
    """Return the same training with SGD. Adam takes a full step even if a gradient is only rounding error."""
    phase = Phase(name="all", steps=spec.steps, optimizer="sgd", learning_rate=0.1)
    return spec.model_copy(update={"phases": (phase,)})


def of_family(kind: str, config: PreTrainedConfig, *, side: int = 32) -> Backbone:
    """Return a random model of a registered family."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = classifier_class(FAMILIES[kind])(config)
    grey = (0.5, 0.5, 0.5)
    head = classification_head(model, kind, n_classes=model.num_labels)
    return Backbone(model, head, side, mean=grey, std=grey, model_id=kind, revision=None)


def weights(model: Backbone) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.model.parameters()])


@contextmanager
def together(module: str, function: str, paths: list[Path]) -> Iterator[None]:
    """Start a process for each path; all of them take part in one training, and each calls `module.function(path)`. At
    the end of the block all have finished.
    """
    shared = {"WORLD_SIZE": str(len(paths)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared["ACCELERATE_USE_CPU"] = "true"
    warm_up()
    context = multiprocessing.get_context("forkserver")
    processes = [
        context.Process(
            target=_take_part, args=(module, function, path, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        )
        for rank, path in enumerate(paths)
    ]
    for process in processes:
        process.start()
    try:
        yield
        for process in processes:
            process.join(280)
        assert [process.exitcode for process in processes] == [0] * len(paths)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _take_part(module: str, function: str, path: Path, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    getattr(importlib.import_module(module), function)(path)
