"""Routes for models: the models that a run may name, and their layers."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.access.services import service
from core.domain import layers, models
from core.errors import NotFoundError
from core.settings import Settings
from core.store.database.session import Database
from core.store.queries import datasets

router = APIRouter(prefix="/v1/models", tags=["models"])

Stored = Annotated[Database, Depends(service(Database))]
Configured = Annotated[Settings, Depends(service(Settings))]

_FLOPS = (
    "Floating-point operations of the forward pass of one image. Convolutions and matrix products are counted, a "
    "multiply-add as two operations. Biases, norms, activations and softmax are not counted."
)


class InputOut(BaseModel):
    """An input size of a model. `parameters` and `flops` are for this size and a head of ten classes."""

    image_size: int = Field(description="Side length, pixels.")
    parameters: int
    flops: int


class ModelOut(BaseModel):
    """A model. A field is null if its value is unknown until the model is loaded."""

    id: str = Field(description="Value of a run's `model`.")
    kind: Literal["preset", "hub"] = Field(description="preset: random weights, no download.")
    parameters: int | None = Field(
        description="Number of parameters with a head of ten classes; for a preset, at 32 pixels."
    )
    flops: int | None = Field(description=f"{_FLOPS} With a head of ten classes; for a preset, at 32 pixels.")
    layers: int | None = Field(description="Transformer blocks, or residual blocks of a convolutional network.")
    width: int | None = Field(description="Number of features D of an embedding.")
    image_size: int | None = Field(description="Side length of the input, pixels; null if it depends on the images.")
    inputs: list[InputOut] = Field(
        description="All input sizes. A preset uses the smallest size that is not below the dataset's images, or the "
        "largest. Empty if the sizes are unknown until the model is loaded."
    )
    family: str | None = Field(description="Architecture, such as ViT or ResNet.")
    pooling: str | None = Field(description="How an embedding is computed: the classifier head's input.")
    head: str
    revision: str | None = Field(description="The pinned commit; null before the first download.")


class ModelDetailOut(ModelOut):
    """A model and its layers. A field is null if its value is unknown until the model is loaded."""

    blocks: list[layers.DescribedBlock] | None = Field(
        description="Groups of layers that share a learning rate, from the input to the head."
    )
    layer_tree: layers.Layer | None = Field(
        description="The model's tree of modules; for a preset, at 32 pixels. Consecutive equal layers are one entry. "
        "Modules without weights that keep the shape, such as activations, are left out."
    )


@router.get("", operation_id="listModels", summary="List models")
def every(database: Stored, settings: Configured) -> dict[str, list[ModelOut]]:
    """List all models that a run may name."""
    cards = models.known_models(settings.allowed_models)
    with database.reading() as session:
        revisions = {card.id: datasets.pinned_revision(session, card.id) for card in cards}
    return {"models": [ModelOut(**asdict(card), revision=revisions[card.id]) for card in cards]}


@router.get("/{model_id:path}", operation_id="getModel", summary="Show a model")
def show(database: Stored, settings: Configured, model_id: str) -> ModelDetailOut:
    """Show a model with its layers, their parameters, FLOPs and output shapes, and its learning-rate blocks.

    The layers of a hub checkpoint that is allowed but not described here are unknown until it is loaded.
    """
    cards = models.known_models(settings.allowed_models)
    card = next((card for card in cards if card.id == model_id), None)
    if card is None:
        raise NotFoundError(f"There is no model {model_id!r}. GET /v1/models lists the models that a run may name.")
    with database.reading() as session:
        revision = datasets.pinned_revision(session, card.id)
    made_of = layers.descriptions().get(card.id)
    return ModelDetailOut(
        **asdict(card),
        revision=revision,
        blocks=list(made_of.blocks) if made_of else None,
        layer_tree=made_of.layer_tree if made_of else None,
    )
