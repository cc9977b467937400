"""Webhook deliveries of events.

A delivery is inserted in the transaction of its event, so that both are stored or neither.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.domain.ids import new_id
from core.domain.webhook import EVENTS, DeliveryStatus
from core.store.database.tables import DeliveryRow, EventRow, RunRow, WebhookRow

_ENABLED_WEBHOOKS = (
    select(WebhookRow)
    .where(WebhookRow.tenant == bindparam("tenant"), WebhookRow.disabled_at.is_(None))
    # The lock waits for a webhook that is being deleted: a delivery for it would fail the transaction of the run.
    .with_for_update(read=True, key_share=True)
)


def enqueue(session: Session, run: RunRow, event: EventRow) -> None:
    """Insert a delivery of the event for each webhook of the run's tenant that subscribes to this type of event.

    Without webhooks this costs one indexed query. Events of tasks cost no query.
    """
    if event.type not in EVENTS:
        return
    for webhook in session.scalars(_ENABLED_WEBHOOKS, {"tenant": run.tenant}):
        if event.type in webhook.events:
            add(session, webhook, event.type, at=event.at, data=_data(run, event))


def add(session: Session, webhook: WebhookRow, kind: str, *, at: float, data: Mapping[str, Any]) -> DeliveryRow:
    """Insert a delivery that is due at once.

    Args:
        session: transaction of the caller.
        webhook: the webhook that receives the delivery.
        kind: type of the event.
        at: time of the event by the database's clock, seconds since 1970.
        data: payload of the event.
    """
    timestamp = datetime.fromtimestamp(at, UTC).isoformat()
    row = DeliveryRow(
        id=new_id("dlv"),
        webhook_id=webhook.id,
        type=kind,
        payload={"type": kind, "timestamp": timestamp, "data": dict(data)},
        status=DeliveryStatus.PENDING,
        next_at=at,
        created_at=at,
    )
    session.add(row)
    return row


def _data(run: RunRow, event: EventRow) -> dict[str, Any]:
    about = {"run_id": run.id, "seq": event.seq, "status": run.status, "name": run.name}
    kept = {"keeps_weights": True} if run.spec["train"]["keep_weights"] != "none" else {}
    return {**event.data, **about, **kept}
