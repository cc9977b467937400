"""Webhooks of a tenant. Every query checks the tenant, so webhooks of another tenant are not found."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.domain.ids import new_id
from core.domain.webhook import TEST
from core.errors import ConflictError, NotFoundError
from core.store.database.session import clock
from core.store.database.tables import DeliveryRow, WebhookRow
from core.store.engine import artifact_rows, outbox

MOST = 20
"""Largest number of webhooks of a tenant. Chosen by hand: each webhook adds a delivery to every event."""


def add(session: Session, *, tenant: str, url: str, secret: str, events: Sequence[str]) -> WebhookRow:
    """Insert a webhook. It receives the events that happen after the commit.

    Raises:
        ConflictError: the tenant has the largest allowed number of webhooks.
    """
    artifact_rows.lock_key(session, f"webhooks of {tenant}")
    count = session.scalars(select(func.count()).where(WebhookRow.tenant == tenant)).one()
    if count >= MOST:
        raise ConflictError(f"There are {count} webhooks, and there may be {MOST}. Delete one that is not needed.")
    row = WebhookRow(
        id=new_id("wh"),
        tenant=tenant,
        url=url,
        secret=secret,
        events=list(events),
        created_at=clock(session),
    )
    session.add(row)
    session.flush()
    return row


def get(session: Session, webhook_id: str, *, tenant: str) -> WebhookRow:
    """Return one webhook of a tenant.

    Raises:
        NotFoundError: the tenant has no such webhook.
    """
    row = session.get(WebhookRow, webhook_id)
    if row is None or row.tenant != tenant:
        raise NotFoundError(f"There is no webhook {webhook_id}. GET /v1/webhooks lists the existing ones.")
    return row


def every(session: Session, *, tenant: str) -> list[WebhookRow]:
    """Return all webhooks of a tenant, newest first."""
    return list(session.scalars(select(WebhookRow).where(WebhookRow.tenant == tenant).order_by(WebhookRow.id.desc())))


def remove(session: Session, webhook_id: str, *, tenant: str) -> None:
    """Delete a webhook and its deliveries.

    Raises:
        NotFoundError: the tenant has no such webhook.
    """
    row = get(session, webhook_id, tenant=tenant)
    session.execute(delete(WebhookRow).where(WebhookRow.id == row.id))


def add_test(session: Session, webhook_id: str, *, tenant: str) -> DeliveryRow:
    """Insert a test delivery, whose payload names only the webhook.

    Raises:
        NotFoundError: the tenant has no such webhook.
        ConflictError: the webhook is disabled.
    """
    row = get(session, webhook_id, tenant=tenant)
    refuse_disabled(row)
    delivery = outbox.add(session, row, TEST, at=clock(session), data={"webhook_id": row.id})
    session.flush()
    return delivery


def refuse_disabled(webhook: WebhookRow) -> None:
    """Raise ConflictError if the webhook is disabled because its receiver answered 410 Gone."""
    if webhook.disabled_at is not None:
        raise ConflictError("The webhook is disabled: its receiver answered 410 Gone. Delete it and make a new one.")
