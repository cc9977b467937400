"""Descriptions of models: their layers and blocks, available without loading the models.

descriptions.json describes the presets and the well-known checkpoints, so that the API does not import torch.
`python -m core.learn.describe` writes that file, and a test counts everything again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from core.domain.frozen import Frozen

COMMITTED = Path(__file__).with_name("descriptions.json")


@dataclass(frozen=True, slots=True)
class InputSize:
    """An input size: its side in pixels, and the model's parameters and FLOPs at this size."""

    image_size: int
    parameters: int
    flops: int


class Layer(Frozen):
    """A module of a model, and its child modules in the order of computation."""

    name: Annotated[
        str, Field(description="Path within the parent layer, such as layers.0; empty for the model itself.")
    ]
    kind: Annotated[str, Field(description="The class of the module, such as ViTLayer or Conv2d.")]
    parameters: Annotated[int, Field(description="Number of parameters; of one layer if `repeat` is above 1.")]
    flops: Annotated[
        int,
        Field(
            description="FLOPs of one image, counted like the FLOPs of the model; of one layer if `repeat` is above 1."
        ),
    ]
    output_shape: Annotated[
        tuple[int, ...],
        Field(
            description="Output shape for one image, in the order of the module: tokens and features, or channels, "
            "height and width. In Swin's attention the first dimension is the window."
        ),
    ]
    repeat: Annotated[
        int, Field(ge=1, description="Number of equal consecutive layers; `name` is the name of the first.")
    ] = 1
    children: Annotated[tuple["Layer", ...], Field(description="Child layers; the tree has at most six levels.")] = ()


class DescribedBlock(Frozen):
    """Layers that share a learning rate, or are frozen together."""

    name: Annotated[str, Field(description="Path of the first module: the names of the layers, joined by dots.")]
    depth_from_head: Annotated[int, Field(ge=0, description="Number of blocks after this block; 0 for the head.")]
    parameters: Annotated[
        int, Field(description="Number of parameters. Every parameter of the model is in exactly one block.")
    ]


class Description(Frozen):
    """Description of a model.

    Attributes:
        layers: number of transformer blocks, or of residual blocks of a convolutional network; None if the model has
            neither.
        width: number of features D of an embedding.
        inputs: all input sizes, smallest first.
        blocks: blocks from the input to the head.
        layer_tree: the model and all its layers, at one of the input sizes.
    """

    layers: int | None
    width: int
    inputs: tuple[InputSize, ...]
    blocks: tuple[DescribedBlock, ...]
    layer_tree: Layer


@cache
def descriptions() -> Mapping[str, Description]:
    """Return the description of each preset and each well-known checkpoint by id, with a head of ten classes."""
    return TypeAdapter(dict[str, Description]).validate_json(COMMITTED.read_bytes())


def written(described: Mapping[str, Description]) -> str:
    """Return the text of descriptions.json, with one model on each line and without default values."""
    lines = (
        f"{json.dumps(name)}: {json.dumps(description.model_dump(mode='json', exclude_defaults=True))}"
        for name, description in described.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"
