"""Models: what can be fine-tuned."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.wiring import PartsOf
from core.domain import models
from core.store import datasets

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelOut(BaseModel):
    """A model; null where only loading it tells."""

    id: str = Field(description="What a run's `model` says.")
    kind: Literal["preset", "hub"] = Field(description="preset: random weights, no download.")
    parameters: int | None = Field(description="With a head of ten classes; a preset at 32 pixels.")
    layers: int | None = Field(description="Transformer blocks, or residual blocks of a convolutional network.")
    width: int | None = Field(description="Features of an embedding.")
    image_size: int | None = Field(description="Side of the input, pixels; null where it follows the images.")
    family: str | None = Field(description="Models of one architecture, such as ViT or ResNet.")
    pooling: str | None = Field(description="What the features of an embedding are: what the head is given.")
    head: str
    revision: str | None = Field(description="The commit that is required, null before the first download.")


@router.get("", operation_id="listModels", summary="List models")
def every(parts: PartsOf) -> dict[str, list[ModelOut]]:
    """All models that a run may name."""
    cards = models.known_models(parts.settings.allowed_models)
    with parts.database.reading() as session:
        revisions = {card.id: datasets.pinned_revision(session, card.id) for card in cards}
    return {"models": [_shown(card, revisions[card.id]) for card in cards]}


def _shown(card: models.ModelCard, revision: str | None) -> ModelOut:
    return ModelOut(
        id=card.id,
        kind=card.kind,
        parameters=card.parameters,
        layers=card.layers,
        width=card.width,
        image_size=card.image_size,
        family=card.family,
        pooling=card.pooling,
        head=card.head,
        revision=revision,
    )
