"""Download and loading of image classifiers from the Hugging Face hub.

Only the files in `_FILES` of one commit are downloaded, and they are loaded from their folder in the cache. So no
weights are converted, no code of the repository runs, and a folder of the same name in the working directory is never
mistaken for the repository. Pickled weights are not read, with one exception: of the published files that
`core.domain.families` names, tensors are read and other objects are refused.
"""

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, AutoModelForImageClassification

from core.domain.families import FAMILIES
from core.errors import SourceUnavailableError, UnusableModelError
from core.learn import families

Channels: TypeAlias = tuple[float, float, float]

# Exceptions of transformers and safetensors for a checkpoint with a damaged, missing or unexpected file.
_UNUSABLE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OSError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
    pickle.UnpicklingError,
)
_DAMAGED = (OSError, SafetensorError)
_SAFETENSORS = "model*.safetensors"
_PUBLISHED = [family.weights_files for family in FAMILIES.values() if family.weights_files]
_WEIGHTS = (_SAFETENSORS, *_PUBLISHED)
_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
    *_PUBLISHED,
)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The input that a checkpoint expects.

    Attributes:
        image_size: side of the square input, pixels.
        mean: mean of each channel, on the scale 0..1.
        std: standard deviation of each channel, on the scale 0..1.
    """

    image_size: int
    mean: Channels
    std: Channels


def fetch(model_id: str, *, revision: str | None, cache_dir: Path | None) -> Path:
    """Download one commit of a repository into the local cache, if the cache does not have the commit.

    Args:
        model_id: owner/name on the hub.
        revision: commit, branch or tag; None means the newest commit of the main branch.
        cache_dir: folder of the cache; None means the cache of huggingface_hub.

    Returns:
        The folder of the commit. The name of the folder is the commit.

    Raises:
        SourceUnavailableError: the hub does not answer, or has no such repository or revision.
        UnusableModelError: the repository has no weights that are safetensors or a published file of a family.
    """
    try:
        folder = Path(snapshot_download(model_id, revision=revision, cache_dir=cache_dir, allow_patterns=list(_FILES)))
    except Exception as error:  # exceptions of huggingface_hub, of its HTTP client and of the system mean the same
        raise SourceUnavailableError(
            f"{_named(model_id, revision)} could not be fetched ({type(error).__name__}). "
            "Check that the worker reaches huggingface.co, that this revision exists, and, for a gated "
            "repository, HF_TOKEN; then retry the run.",
            field="model",
        ) from error
    if not any(file for pattern in _WEIGHTS for file in folder.glob(pattern)):
        raise UnusableModelError(
            f"{_named(model_id, folder.name)} has no safetensors, and pickled weights are not loaded. "
            "Choose a revision that has model.safetensors, or another model.",
            field="model",
        )
    return folder


def load_classifier(folder: Path, model_id: str, *, class_names: Sequence[str]) -> nn.Module:
    """Load a checkpoint in float32, with its own head if the head has one output per class, else with a random head.

    A checkpoint of a registered family is loaded as the family's class. Any other checkpoint is loaded as the class
    that AutoModelForImageClassification selects.

    Args:
        folder: the folder that `fetch` returned, or another folder in Hugging Face format.
        model_id: the model's name in error messages.
        class_names: C names; the model has C outputs.

    Returns:
        The model, on the CPU.

    Raises:
        SourceUnavailableError: a file is damaged or cannot be read.
        UnusableModelError: the checkpoint is no image classifier, or lacks weights before the head.
    """
    names = dict(enumerate(class_names))
    labels = {"id2label": names, "label2id": {name: label for label, name in names.items()}}
    try:
        model, report = _from_pretrained(
            folder,
            trust_remote_code=False,
            local_files_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **labels,
        )
    except _UNUSABLE as error:
        kind = SourceUnavailableError if isinstance(error, _DAMAGED) else UnusableModelError
        raise kind(
            f"{model_id} could not be loaded as an image-classification model: {_first_line(error)}. "
            "Choose a checkpoint that AutoModelForImageClassification knows.",
            field="model",
        ) from error
    _require_all_but_the_head(model, report, model_id)
    loaded: nn.Module = model
    return loaded


def load_preprocessing(folder: Path, model_id: str, *, image_size: object) -> Preprocessing:
    """Read the preprocessing from preprocessor_config.json.

    Args:
        folder: the folder that `fetch` returned, or another folder in Hugging Face format.
        model_id: the model's name in error messages.
        image_size: `image_size` of the model's config, if the model accepts no other size. An int takes precedence
            over preprocessor_config.json, because position embeddings depend on the size.

    Returns:
        Input size, mean and standard deviation; mean 0 and standard deviation 1, if the checkpoint does not normalise.

    Raises:
        UnusableModelError: preprocessor_config.json is missing or unusable.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(
            folder, backend="pil", trust_remote_code=False, local_files_only=True
        )
        size = image_size if isinstance(image_size, int) else _side(processor)
        if not getattr(processor, "do_normalize", True):
            return Preprocessing(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return Preprocessing(size, _channels(processor.image_mean), _channels(processor.image_std))
    except _UNUSABLE as error:
        raise UnusableModelError(
            f"The preprocessing of {model_id} cannot be read: {_first_line(error)}. "
            "Choose a checkpoint with a preprocessor_config.json.",
            field="model",
        ) from error


def classification_head(model: nn.Module, model_id: str, *, n_classes: int) -> nn.Linear:
    """Find the classification head: the last linear layer with one output per class.

    Args:
        model: a classifier.
        model_id: the model's name in error messages.
        n_classes: C, number of classes.

    Raises:
        UnusableModelError: the model has no linear layer with C outputs.
    """
    linear = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == n_classes]
    if not linear:
        raise UnusableModelError(
            f"{model_id} does not end in a linear classification layer. Choose another model.", field="model"
        )
    return linear[-1]


def _from_pretrained(folder: Path, **options: object) -> tuple[nn.Module, dict[str, Any]]:
    """Load the model, with transformers' report of missing and mismatched weights."""
    family = FAMILIES.get(json.loads((folder / "config.json").read_text()).get("model_type"))
    loaded = families.classifier_class(family) if family else AutoModelForImageClassification
    options |= family.config if family else {}
    if family and family.weights_files and not any(folder.glob(_SAFETENSORS)):
        weights = import_module(family.module).published_weights(min(folder.glob(family.weights_files)))
        return loaded.from_pretrained(None, config=folder, state_dict=weights, **options)  # type: ignore[no-any-return]
    return loaded.from_pretrained(folder, use_safetensors=True, **options)  # type: ignore[no-any-return]


def _require_all_but_the_head(model: nn.Module, report: dict[str, Any], model_id: str) -> None:
    """Refuse a checkpoint that lacks weights before the head: transformers would draw them at random without an error.

    Raises:
        UnusableModelError: a weight before the head is missing or has another shape.
    """
    missing = set(report["missing_keys"]) | {name for name, *_shapes in report["mismatched_keys"]}
    head = classification_head(model, model_id, n_classes=model.num_labels)  # type: ignore[arg-type]
    allowed = {name for name, part in model.named_modules() if part is head}
    lost = sorted(name for name in missing if name.rpartition(".")[0] not in allowed)
    if lost:
        raise UnusableModelError(
            f"{model_id} lacks {len(lost)} weights of its architecture, the first is {lost[0]}. Choose another model.",
            field="model",
        )


def _side(processor: object) -> int:
    crops = getattr(processor, "do_center_crop", False) and getattr(processor, "crop_size", None)
    size = dict(crops or processor.size)  # type: ignore[attr-defined]
    return int(size.get("height") or size["shortest_edge"])


def _channels(values: Sequence[float]) -> Channels:
    red, green, blue = values
    return float(red), float(green), float(blue)


def _named(model_id: str, revision: str | None) -> str:
    return f"{model_id} at revision {revision}" if revision else model_id


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
