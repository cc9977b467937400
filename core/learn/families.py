"""Lookup of a model in the registry of families: the model's class, and its blocks from the input to the head.

The registry is in `core.domain.families`, because the API reads the registry and never imports torch.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from core.domain.families import FAMILIES, Family, require_family


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Layers that share one learning rate or are frozen together.

    Attributes:
        name: path of the first module in the model, such as "vit.layers.0"; the path of the head, if a final norm
            belongs to the head's block.
        modules: the modules of the block, in the model's order.
    """

    name: str
    modules: tuple[nn.Module, ...]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters of the block, in the model's order."""
        return [weights for module in self.modules for weights in module.parameters()]


def family_of(model: nn.Module) -> Family | None:
    """The family of a classifier; None if the family is not registered."""
    return FAMILIES.get(_model_type(model))


def classifier_class(family: Family) -> Any:  # noqa: ANN401 - transformers has no types
    """The family's class of image classifiers; it has a linear head and the method `from_pretrained`."""
    return getattr(import_module(family.module), family.classifier)


def blocks(model: nn.Module) -> list[Block]:
    """List a classifier's blocks: stem or embeddings, each layer or stage, and the head.

    A norm without a block of its own belongs to the next block, so a final norm belongs to the head's block.

    Args:
        model: a classifier of a registered family.

    Returns:
        The blocks from the input to the head. Every parameter of the model is in exactly one block.

    Raises:
        UnusableModelError: the family is not registered.
    """
    entries = require_family_of(model).blocks
    places = {path: place for place, (path, _module) in enumerate(model.named_modules())}
    groups = [group for entry in entries for group in _groups(entry, list(places))]
    ordered = sorted(groups, key=lambda paths: places[paths[0]])
    found = [Block(paths[0], tuple(model.get_submodule(path) for path in paths)) for paths in ordered]
    return list(_joined(block for block in found if block.parameters))


def require_family_of(model: nn.Module) -> Family:
    """The family of a classifier.

    Raises:
        UnusableModelError: the family is not registered.
    """
    return require_family(_model_type(model))


def _joined(found: Iterable[Block]) -> Iterator[Block]:
    """Join each block whose parameters are all vectors (a norm) with the block after it."""
    norms: tuple[nn.Module, ...] = ()
    for block in found:
        modules = (*norms, *block.modules)
        if all(weights.ndim == 1 for weights in block.parameters):
            norms = modules
            continue
        norms = ()
        yield Block(block.name, modules)


def _groups(entry: str | tuple[str, ...], paths: list[str]) -> list[tuple[str, ...]]:
    """The blocks that an entry of the registry describes, each as the paths of its modules."""
    if isinstance(entry, tuple):
        return [entry]
    pattern = re.compile(re.escape(entry).replace(r"\*", r"\d+"))
    return [(path,) for path in paths if pattern.fullmatch(path)]


def _model_type(model: nn.Module) -> str:
    return str(getattr(getattr(model, "config", None), "model_type", None))
