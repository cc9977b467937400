"""What a model is made of, told without loading it: its layers, and its blocks.

descriptions.json has it of the presets and of the well-known checkpoints: the API tells it and never imports torch.
`python -m core.learn.describe` writes that file, and a test counts all of it again.
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
    """A size of the input, pixels a side, with what the model has and computes there."""

    image_size: int
    parameters: int
    flops: int


class Layer(Frozen):
    """A module of a model, and the modules that it is made of, in the order in which they compute."""

    name: Annotated[str, Field(description="Its path in the layer above, such as layers.0; the model's own is empty.")]
    kind: Annotated[str, Field(description="The class of the module, such as ViTLayer or Conv2d.")]
    parameters: Annotated[int, Field(description="Trainable numbers in it; of one, where it is repeated.")]
    flops: Annotated[int, Field(description="Of one image, counted as the model's are; of one, where it is repeated.")]
    output_shape: Annotated[
        tuple[int, ...],
        Field(
            description="Of one image, as the module orders it: tokens and features, or channels, height and width; in "
            "Swin's attention the windows come first."
        ),
    ]
    repeat: Annotated[
        int, Field(ge=1, description="Layers that are equal and follow each other; the name is that of the first.")
    ] = 1
    children: Annotated[tuple["Layer", ...], Field(description="Layers below; six levels at most.")] = ()


class DescribedBlock(Frozen):
    """Layers that learn at one rate, or are frozen together."""

    name: Annotated[str, Field(description="The path of its first module: the names of the layers, joined by dots.")]
    depth_from_head: Annotated[int, Field(ge=0, description="How many blocks follow it; the head: 0.")]
    parameters: Annotated[int, Field(description="Trainable numbers in it; every one of the model is in one block.")]


class Description(Frozen):
    """A model of a known architecture, taken apart.

    Attributes:
        layers: transformer blocks, or residual blocks of a convolutional network; None where it has neither.
        width: features D of an embedding.
        inputs: every size that the input may have here, smallest first.
        blocks: from the input to the head.
        layer_tree: the model itself, and all below it, at one of these sizes.
    """

    layers: int | None
    width: int
    inputs: tuple[InputSize, ...]
    blocks: tuple[DescribedBlock, ...]
    layer_tree: Layer


@cache
def descriptions() -> Mapping[str, Description]:
    """By id, of every preset and every well-known checkpoint, with a head of ten classes."""
    return TypeAdapter(dict[str, Description]).validate_json(COMMITTED.read_bytes())


def written(described: Mapping[str, Description]) -> str:
    """The text of descriptions.json: a line a model, without what the defaults say."""
    lines = (
        f"{json.dumps(name)}: {json.dumps(description.model_dump(mode='json', exclude_defaults=True))}"
        for name, description in described.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"
