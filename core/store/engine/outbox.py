"""Deliveries are written in the transaction of the event that they tell of: neither is there without the other."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.domain.ids import new_id
from core.domain.webhook import EVENTS, DeliveryStatus
from core.store.database.tables import DeliveryRow, EventRow, RunRow, WebhookRow

_LISTENING = (
    select(WebhookRow)
    .where(WebhookRow.tenant == bindparam("tenant"), WebhookRow.disabled_at.is_(None))
    # One that is being deleted is waited for: a delivery for it would fail the run's transaction.
    .with_for_update(read=True, key_share=True)
)


def enqueue(session: Session, run: RunRow, event: EventRow) -> None:
    """Write a delivery of the event for each webhook of the run's tenant that asks for it.

    Without webhooks this costs one indexed query, and nothing for the events of stages.
    """
    if event.type not in EVENTS:
        return
    for webhook in session.scalars(_LISTENING, {"tenant": run.tenant}):
        if event.type in webhook.events:
            add(session, webhook, event.type, at=event.at, data=_data(run, event))


def add(session: Session, webhook: WebhookRow, kind: str, *, at: float, data: Mapping[str, Any]) -> DeliveryRow:
    """Write a delivery that is due at once.

    Args:
        at: when it happened, by the database's clock.
        data: what the receiver is told of it.
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
