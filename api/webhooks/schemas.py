"""Bodies of requests and answers about webhooks."""

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
        description="https, port 443 or one from 1024; every address of its host must be public. Redirects are not "
        "followed.",
    ),
]
Events = Annotated[
    tuple[EventKind, ...], Field(min_length=1, max_length=len(EventKind), description="What to hear of.")
]


class WebhookCreate(Frozen):
    """An address that is to hear of runs."""

    url: Url
    events: Events = DEFAULT_EVENTS


class WebhookOut(BaseModel):
    """A webhook."""

    id: str
    url: str
    events: list[EventKind]
    created_at: datetime | None
    disabled_at: Annotated[
        datetime | None, Field(description="When its receiver answered 410 Gone: nothing is sent any more.")
    ]


class WebhookMade(WebhookOut):
    """A new webhook, with its secret: this answer is the only one that shows it."""

    secret: Annotated[str, Field(description="Checks signatures, by any library for Standard Webhooks.")]


class WebhookList(BaseModel):
    """All webhooks, newest first."""

    webhooks: list[WebhookOut]


class DeliveryOut(BaseModel):
    """An event on its way to a webhook; its id is the header webhook-id, the same however often it is sent."""

    id: str
    type: str
    status: DeliveryStatus
    attempts: int
    last_status: Annotated[int | None, Field(description="HTTP status of the last answer.")]
    last_error: Annotated[str | None, Field(description="Why the last attempt failed.")]
    next_attempt_at: Annotated[datetime | None, Field(description="null once it is delivered or given up.")]
    created_at: datetime | None
    delivered_at: datetime | None


class DeliveryPage(BaseModel):
    """Some deliveries, newest first."""

    deliveries: list[DeliveryOut]
    next_cursor: Annotated[str | None, Field(description="Where the next page begins; null at the end.")]
