"""Request and response bodies for webhooks."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from api.webhooks.targets import MAX_URL_LENGTH
from core.domain.frozen import Frozen
from core.domain.webhook import DEFAULT_EVENTS, DeliveryStatus, EventKind

EXAMPLE = {"url": "https://hooks.example.com/embedreel", "events": ["run.succeeded", "run.failed"]}

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="An https URL. Its port must be 443 or at least 1024, and every address of its host must be "
        "public. Redirects are not followed.",
    ),
]
Events = Annotated[
    tuple[EventKind, ...], Field(min_length=1, max_length=len(EventKind), description="Types of events to send.")
]


class WebhookCreate(Frozen):
    """A URL to which the service sends events about runs."""

    url: Url
    events: Events = DEFAULT_EVENTS


class WebhookOut(BaseModel):
    """A webhook."""

    id: str
    url: str
    events: list[EventKind]
    created_at: datetime | None
    disabled_at: Annotated[
        datetime | None,
        Field(description="Time at which the receiver answered 410 Gone. Nothing is sent after that time."),
    ]


class WebhookMade(WebhookOut):
    """A new webhook with its secret. Only this response shows the secret."""

    secret: Annotated[
        str, Field(description="Secret for the verification of signatures by a Standard Webhooks library.")
    ]


class WebhookList(BaseModel):
    """All webhooks, newest first."""

    webhooks: list[WebhookOut]


class DeliveryOut(BaseModel):
    """An event for a webhook. `id` is sent as the header webhook-id and is the same in every attempt."""

    id: str
    type: str
    status: DeliveryStatus
    attempts: int
    last_status: Annotated[int | None, Field(description="HTTP status of the last response; null if no response came.")]
    last_error: Annotated[str | None, Field(description="Reason for the failure of the last attempt.")]
    next_attempt_at: Annotated[datetime | None, Field(description="null after delivery or after the last attempt.")]
    created_at: datetime | None
    delivered_at: datetime | None


class DeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryOut]
    next_cursor: Annotated[str | None, Field(description="Cursor of the next page; null on the last page.")]
