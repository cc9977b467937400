"""Models: what can be fine-tuned, and what it is made of."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.wiring import PartsOf
from core.domain import layers, models
from core.errors import NotFoundError
from core.store.queries import datasets

router = APIRouter(prefix="/v1/models", tags=["models"])

_FLOPS = (
    "Floating-point operations of the forward pass of one image: convolutions and matrix products, a multiply-add as "
    "two. Biases, norms, activations and softmax are not counted."
)


class InputOut(BaseModel):
    """A size that the input may have, and the model there, with a head of ten classes."""

    image_size: int = Field(description="Side, pixels.")
    parameters: int
    flops: int


class ModelOut(BaseModel):
    """A model; null where only loading it tells."""

    id: str = Field(description="What a run's `model` says.")
    kind: Literal["preset", "hub"] = Field(description="preset: random weights, no download.")
    parameters: int | None = Field(description="With a head of ten classes; a preset at 32 pixels.")
    flops: int | None = Field(description=f"{_FLOPS} With a head of ten classes; a preset at 32 pixels.")
    layers: int | None = Field(description="Transformer blocks, or residual blocks of a convolutional network.")
    width: int | None = Field(description="Features of an embedding.")
    image_size: int | None = Field(description="Side of the input, pixels; null where it follows the images.")
    inputs: list[InputOut] = Field(
        description="Every size that the input may have. A preset takes the smallest that holds the dataset's images, "
        "else the largest. Empty where only loading the model tells."
    )
    family: str | None = Field(description="Models of one architecture, such as ViT or ResNet.")
    pooling: str | None = Field(description="What the features of an embedding are: what the head is given.")
    head: str
    revision: str | None = Field(description="The commit that is required, null before the first download.")


class ModelDetailOut(ModelOut):
    """A model, and what it is made of; null where only loading it tells."""

    blocks: list[layers.DescribedBlock] | None = Field(
        description="Layers that learn at one rate, from the input to the head."
    )
    layer_tree: layers.Layer | None = Field(
        description="The model and all below it, a preset at 32 pixels. Equal layers that follow each other are told "
        "once; what has no weights and keeps the shape, such as an activation, is left out."
    )


@router.get("", operation_id="listModels", summary="List models")
def every(parts: PartsOf) -> dict[str, list[ModelOut]]:
    """All models that a run may name."""
    cards = models.known_models(parts.settings.allowed_models)
    with parts.database.reading() as session:
        revisions = {card.id: datasets.pinned_revision(session, card.id) for card in cards}
    return {"models": [ModelOut(**asdict(card), revision=revisions[card.id]) for card in cards]}


@router.get("/{model_id:path}", operation_id="getModel", summary="Show a model")
def show(parts: PartsOf, model_id: str) -> ModelDetailOut:
    """A model with its layers, their parameters, FLOPs and output shapes, and the blocks that learn at one rate.

    Of a checkpoint of the hub that is allowed but not among the well-known ones, nothing is known before it is loaded.
    """
    cards = models.known_models(parts.settings.allowed_models)
    card = next((card for card in cards if card.id == model_id), None)
    if card is None:
        raise NotFoundError(f"There is no model {model_id!r} that a run may name. GET /v1/models lists them.")
    with parts.database.reading() as session:
        revision = datasets.pinned_revision(session, card.id)
    made_of = layers.descriptions().get(card.id)
    return ModelDetailOut(
        **asdict(card),
        revision=revision,
        blocks=list(made_of.blocks) if made_of else None,
        layer_tree=made_of.layer_tree if made_of else None,
    )
