"""What the registry of families says, found in a model: its class, and its blocks from the input to the head.

The registry itself is `core.domain.families`, since the API tells of it and never imports torch.
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
    """Layers that learn at one rate, or are frozen together.

    Attributes:
        name: the path of its first module in the model, such as "vit.layers.0".
        modules: one, or several that follow each other.
    """

    name: str
    modules: tuple[nn.Module, ...]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Its weights, in the model's order."""
        return [weights for module in self.modules for weights in module.parameters()]


def family_of(model: nn.Module) -> Family | None:
    """The family of a classifier; None where it is not registered."""
    return FAMILIES.get(_model_type(model))


def classifier_class(family: Family) -> Any:  # noqa: ANN401 - transformers has no types
    """The class with `from_pretrained` and a linear head that the family's checkpoints are loaded as."""
    return getattr(import_module(family.module), family.classifier)


def blocks(model: nn.Module) -> list[Block]:
    """A classifier's blocks: stem or embeddings, each block or stage, the head with the final norm if there is one.

    Args:
        model: of a registered family.

    Returns:
        From the input to the head. Every weight of the model is in exactly one of them.

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
        UnusableModelError: it is not registered.
    """
    return require_family(_model_type(model))


def _joined(found: Iterable[Block]) -> Iterator[Block]:
    """The blocks; a norm, all of whose weights are vectors, is one with the block after it."""
    norms: tuple[nn.Module, ...] = ()
    for block in found:
        modules = (*norms, *block.modules)
        if all(weights.ndim == 1 for weights in block.parameters):
            norms = modules
            continue
        norms = ()
        yield Block(block.name, modules)


def _groups(entry: str | tuple[str, ...], paths: list[str]) -> list[tuple[str, ...]]:
    """The paths of each block that an entry of the registry stands for."""
    if isinstance(entry, tuple):
        return [entry]
    pattern = re.compile(re.escape(entry).replace(r"\*", r"\d+"))
    return [(path,) for path in paths if pattern.fullmatch(path)]


def _model_type(model: nn.Module) -> str:
    return str(getattr(getattr(model, "config", None), "model_type", None))
