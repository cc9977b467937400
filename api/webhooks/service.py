"""Operations on a tenant's webhooks. Each method is one transaction."""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from fastapi import Depends
from sqlalchemy.orm import Session

from api.access.services import service
from api.http import cursors
from api.http.ids import is_id
from api.http.times import optional_timestamp
from api.webhooks import signing, targets
from api.webhooks.schemas import DeliveryOut, DeliveryPage, WebhookCreate, WebhookList, WebhookMade, WebhookOut
from core.domain.webhook import DeliveryStatus, EventKind
from core.errors import NotFoundError
from core.store.database.session import Database
from core.store.database.tables import DeliveryRow, WebhookRow
from core.store.queries import deliveries, webhooks

LOOKUP_SECONDS = 1.0
"""Time limit for the DNS lookup while a client waits, seconds. Chosen by hand; not measured.

A longer time accepts slow resolvers, a shorter time frees the request's thread earlier.
"""


@dataclass(frozen=True, slots=True)
class WebhookService:
    """Registers, lists, shows, removes and tests webhooks, and lists and resends their deliveries.

    Attributes:
        database: where webhooks and deliveries are stored.
        tenant: owner of the webhooks.
        allow_private: True accepts http and addresses that are not public.
    """

    database: Database
    tenant: str
    allow_private: bool

    def for_tenant(self, tenant: str) -> Self:
        """Return the same service for another tenant."""
        return replace(self, tenant=tenant)

    def register(self, body: WebhookCreate) -> WebhookMade:
        """Store a webhook with a new secret.

        Raises:
            RefusedUrlError: the service does not send to the URL.
            ConflictError: the tenant has the maximum number of webhooks.
        """
        targets.find(body.url, allow_private=self.allow_private, seconds=LOOKUP_SECONDS)
        secret, events = signing.new_secret(), list(dict.fromkeys(body.events))
        with self.database.writing() as session:
            row = webhooks.add(session, tenant=self.tenant, url=body.url, secret=secret, events=events)
        return WebhookMade(**_webhook(row).model_dump(), secret=secret)

    def every(self) -> WebhookList:
        """Return all webhooks of the tenant, newest first."""
        with self.database.reading() as session:
            return WebhookList(webhooks=[_webhook(row) for row in webhooks.every(session, tenant=self.tenant)])

    def one(self, webhook_id: str) -> WebhookOut:
        """Return one webhook.

        Raises:
            NotFoundError: the tenant has no such webhook.
        """
        with self.database.reading() as session:
            return _webhook(_find(session, webhook_id, self.tenant))

    def remove(self, webhook_id: str) -> None:
        """Delete a webhook and its deliveries.

        Raises:
            NotFoundError: the tenant has no such webhook.
        """
        with self.database.writing() as session:
            webhooks.remove(session, _find(session, webhook_id, self.tenant).id, tenant=self.tenant)

    def test(self, webhook_id: str) -> DeliveryOut:
        """Queue a delivery of type `webhook.test`.

        Raises:
            NotFoundError: the tenant has no such webhook.
            ConflictError: the webhook is disabled.
        """
        with self.database.writing() as session:
            return _delivery(webhooks.add_test(session, _find(session, webhook_id, self.tenant).id, tenant=self.tenant))

    def deliveries(self, webhook_id: str, *, cursor: str | None, limit: int) -> DeliveryPage:
        """Return a page of at most `limit` deliveries, newest first.

        Raises:
            NotFoundError: the tenant has no such webhook.
            InvalidSpecError: this service did not make the cursor.
        """
        before = cursors.read(cursor, kind="dlv") if cursor else None
        with self.database.reading() as session:
            webhook = _find(session, webhook_id, self.tenant)
            rows = deliveries.page(session, webhook.id, tenant=self.tenant, before=before, limit=limit + 1)
        more = len(rows) > limit
        shown = [_delivery(row) for row in rows[:limit]]
        return DeliveryPage(deliveries=shown, next_cursor=cursors.make(rows[limit - 1].id) if more else None)

    def redeliver(self, webhook_id: str, delivery_id: str) -> DeliveryOut:
        """Queue a delivery again, whatever its status.

        Raises:
            NotFoundError: the tenant has no such webhook, or the webhook has no such delivery.
            ConflictError: the webhook is disabled.
        """
        if not is_id(delivery_id, "dlv"):
            raise NotFoundError(f"There is no such delivery. GET /v1/webhooks/{webhook_id}/deliveries lists them.")
        with self.database.writing() as session:
            webhook = _find(session, webhook_id, self.tenant)
            return _delivery(deliveries.redeliver(session, webhook.id, delivery_id, tenant=self.tenant))


Webhooks = Annotated[WebhookService, Depends(service(WebhookService))]
"""The webhooks of the caller's tenant."""


def _find(session: Session, webhook_id: str, tenant: str) -> WebhookRow:
    if not is_id(webhook_id, "wh"):
        raise NotFoundError("There is no such webhook. GET /v1/webhooks lists the existing ones.")
    return webhooks.get(session, webhook_id, tenant=tenant)


def _webhook(row: WebhookRow) -> WebhookOut:
    return WebhookOut(
        id=row.id,
        url=row.url,
        events=[EventKind(event) for event in row.events],
        created_at=optional_timestamp(row.created_at),
        disabled_at=optional_timestamp(row.disabled_at),
    )


def _delivery(row: DeliveryRow) -> DeliveryOut:
    return DeliveryOut(
        id=row.id,
        type=row.type,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        last_status=row.last_status,
        last_error=row.last_error,
        next_attempt_at=optional_timestamp(row.next_at),
        created_at=optional_timestamp(row.created_at),
        delivered_at=optional_timestamp(row.delivered_at),
    )
