"""Routes for webhooks and their deliveries."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response, status

from api.webhooks.schemas import EXAMPLE, DeliveryOut, DeliveryPage, WebhookCreate, WebhookList, WebhookMade, WebhookOut
from api.webhooks.service import Webhooks

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

REGISTERED = {
    "minimal": {"summary": "Events about the end of every run", "value": {"url": EXAMPLE["url"]}},
    "complete": {"summary": "Selected events", "value": EXAMPLE},
}


@router.post("", operation_id="registerWebhook", summary="Register a webhook", status_code=status.HTTP_201_CREATED)
def register(
    webhooks: Webhooks,
    response: Response,
    body: Annotated[WebhookCreate, Body(openapi_examples=REGISTERED)],
) -> WebhookMade:
    """Register a URL that receives events. Only this response shows the secret that signs them (Standard Webhooks)."""
    webhook = webhooks.register(body)
    response.headers["Location"] = f"/v1/webhooks/{webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return webhook


@router.get("", operation_id="listWebhooks", summary="List webhooks, newest first")
def every(webhooks: Webhooks) -> WebhookList:
    """List all webhooks, without their secrets."""
    return webhooks.every()


@router.get("/{webhook_id}", operation_id="getWebhook", summary="Show a webhook")
def show(webhooks: Webhooks, webhook_id: str) -> WebhookOut:
    """Show a webhook, without its secret."""
    return webhooks.one(webhook_id)


@router.delete(
    "/{webhook_id}",
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    status_code=status.HTTP_204_NO_CONTENT,
)
def remove(webhooks: Webhooks, webhook_id: str) -> None:
    """Delete a webhook and its deliveries. Pending deliveries are not sent."""
    webhooks.remove(webhook_id)


@router.post(
    "/{webhook_id}/test",
    operation_id="testWebhook",
    summary="Test a webhook",
    status_code=status.HTTP_202_ACCEPTED,
)
def test(webhooks: Webhooks, webhook_id: str) -> DeliveryOut:
    """Send an event of type webhook.test. The list of deliveries shows the result."""
    return webhooks.test(webhook_id)


@router.get("/{webhook_id}/deliveries", operation_id="listDeliveries", summary="List deliveries, newest first")
def deliveries(
    webhooks: Webhooks,
    webhook_id: str,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> DeliveryPage:
    """List deliveries and their results. Successful deliveries are kept for 7 days, failed deliveries for 30 days."""
    return webhooks.deliveries(webhook_id, cursor=cursor, limit=limit)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    operation_id="redeliver",
    summary="Send a delivery again",
    status_code=status.HTTP_202_ACCEPTED,
)
def redeliver(webhooks: Webhooks, webhook_id: str, delivery_id: str) -> DeliveryOut:
    """Send a delivery again now, whatever its status, with the same webhook-id and the full number of retries."""
    return webhooks.redeliver(webhook_id, delivery_id)
