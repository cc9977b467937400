"""Webhook deliveries. The sender claims deliveries and records results. The owner lists and resends deliveries.

A claim increments `attempts` and postpones `next_at` by the lease, in one transaction. So no two processes send the
same attempt. If a sender dies, the delivery is due again when the lease expires. The result of an attempt is recorded
only while the attempt is the newest.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from core.domain.webhook import DeliveryStatus
from core.errors import NotFoundError
from core.store.database.session import clock
from core.store.database.tables import DeliveryRow, WebhookRow
from core.store.queries import webhooks

DELIVERED_KEPT_SECONDS = 7 * 24 * 3600.0
FAILED_KEPT_SECONDS = 30 * 24 * 3600.0
FORGOTTEN_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """The right to send a delivery once.

    Attributes:
        number: number of the attempt, from 1, over all attempts of the delivery; also the fencing token.
        failures: failed attempts since the delivery was last requested.
    """

    delivery_id: str
    webhook_id: str
    url: str
    secret: str
    payload: dict[str, Any]
    number: int
    failures: int


def claim(session: Session, *, limit: int, lease_seconds: float, busy: Collection[str] = ()) -> list[DeliveryAttempt]:
    """Claim due deliveries, the oldest of each webhook. So a slow receiver delays only its own deliveries.

    Args:
        session: transaction of the caller.
        limit: largest number of deliveries.
        lease_seconds: time after which a claimed delivery is due again.
        busy: ids of webhooks that the caller is sending to already.
    """
    at = clock(session)
    oldest = _due(func.min(DeliveryRow.id), at, busy)
    longest_due = oldest.group_by(DeliveryRow.webhook_id).order_by(func.min(DeliveryRow.next_at)).limit(limit)
    candidates = list(session.scalars(longest_due))
    free = _due(DeliveryRow.id, at).where(DeliveryRow.id.in_(candidates)).with_for_update(skip_locked=True)
    taken = list(session.scalars(free))
    raised = (
        update(DeliveryRow)
        .where(DeliveryRow.id.in_(taken))
        .values(attempts=DeliveryRow.attempts + 1, next_at=at + lease_seconds)
    )
    session.execute(raised, execution_options={"synchronize_session": False})
    claimed = select(DeliveryRow, WebhookRow).join(WebhookRow, WebhookRow.id == DeliveryRow.webhook_id)
    return [_attempt(*row) for row in session.execute(claimed.where(DeliveryRow.id.in_(taken)))]


def awaited(session: Session, *, busy: Collection[str] = ()) -> bool:
    """Return True if a delivery is due. Call this before `claim`, which takes SQLite's write lock.

    Args:
        session: transaction of the caller.
        busy: ids of webhooks that the caller is sending to already.
    """
    return session.scalars(_due(DeliveryRow.id, clock(session), busy).limit(1)).first() is not None


def _due(column: Any, at: float, busy: Collection[str] = ()) -> Select[Any]:  # noqa: ANN401 - a column, or its minimum
    query = select(column).where(DeliveryRow.status == DeliveryStatus.PENDING, DeliveryRow.next_at <= at)
    return query.where(DeliveryRow.webhook_id.not_in(busy)) if busy else query


def _attempt(delivery: DeliveryRow, webhook: WebhookRow) -> DeliveryAttempt:
    return DeliveryAttempt(
        delivery_id=delivery.id,
        webhook_id=webhook.id,
        url=webhook.url,
        secret=webhook.secret,
        payload=delivery.payload,
        number=delivery.attempts,
        failures=delivery.failures,
    )


def delivered(session: Session, attempt: DeliveryAttempt, *, status: int) -> None:
    """Record that the receiver accepted the delivery with this HTTP status."""
    at = clock(session)
    _settle(
        session,
        attempt,
        status=DeliveryStatus.DELIVERED,
        next_at=None,
        last_status=status,
        last_error=None,
        delivered_at=at,
        forget_at=at + DELIVERED_KEPT_SECONDS,
    )


def failed(session: Session, attempt: DeliveryAttempt, *, status: int | None, error: str, pause: float | None) -> None:
    """Record a failed attempt.

    Args:
        session: transaction of the caller.
        attempt: the claimed attempt.
        status: HTTP status of the response; None if there was no response.
        error: description of the failure.
        pause: seconds until the next attempt; None to give up the delivery.
    """
    at = clock(session)
    further = _given_up(at) if pause is None else {"next_at": at + pause}
    _settle(session, attempt, failures=attempt.failures + 1, last_status=status, last_error=error, **further)


def gone(session: Session, attempt: DeliveryAttempt, *, status: int, error: str) -> None:
    """Disable a webhook whose receiver answered 410 Gone, and give up all of its pending deliveries."""
    at = clock(session)
    session.execute(update(WebhookRow).where(WebhookRow.id == attempt.webhook_id).values(disabled_at=at))
    _settle(session, attempt, last_status=status)
    pending = update(DeliveryRow).where(
        DeliveryRow.webhook_id == attempt.webhook_id, DeliveryRow.status == DeliveryStatus.PENDING
    )
    session.execute(pending.values(last_error=error, **_given_up(at)))


def _given_up(at: float) -> dict[str, Any]:
    return {"status": DeliveryStatus.FAILED, "next_at": None, "forget_at": at + FAILED_KEPT_SECONDS}


def _settle(session: Session, attempt: DeliveryAttempt, **values: Any) -> None:  # noqa: ANN401 - columns
    newest = update(DeliveryRow).where(
        DeliveryRow.id == attempt.delivery_id,
        DeliveryRow.status == DeliveryStatus.PENDING,
        DeliveryRow.attempts == attempt.number,
        DeliveryRow.failures == attempt.failures,  # otherwise the delivery was requested again
    )
    session.execute(newest.values(**values))


def page(session: Session, webhook_id: str, *, tenant: str, before: str | None, limit: int) -> list[DeliveryRow]:
    """Return up to `limit` deliveries of a webhook, newest first. Ids rise with time.

    Args:
        session: transaction of the caller.
        webhook_id: id of the webhook.
        tenant: owner of the rows.
        before: id of a delivery; only older deliveries are returned. None starts with the newest.
        limit: largest number of rows.

    Raises:
        NotFoundError: the tenant has no such webhook.
    """
    webhooks.get(session, webhook_id, tenant=tenant)
    query = select(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id).order_by(DeliveryRow.id.desc())
    return list(session.scalars((query.where(DeliveryRow.id < before) if before else query).limit(limit)))


def redeliver(session: Session, webhook_id: str, delivery_id: str, *, tenant: str) -> DeliveryRow:
    """Make a delivery due at once, whatever its result was, with the full number of attempts.

    Raises:
        NotFoundError: the tenant has no such webhook, or the webhook has no such delivery.
        ConflictError: the webhook is disabled.
    """
    webhooks.refuse_disabled(webhooks.get(session, webhook_id, tenant=tenant))
    row = session.get(DeliveryRow, delivery_id, with_for_update=True)
    if row is None or row.webhook_id != webhook_id:
        raise NotFoundError(
            f"There is no delivery {delivery_id}. It may have been deleted: accepted deliveries are kept for a week."
        )
    row.status = DeliveryStatus.PENDING
    row.failures = 0
    row.next_at = clock(session)
    row.delivered_at = row.forget_at = None
    return row


def forget(session: Session) -> None:
    """Delete old deliveries: accepted ones after a week, failed ones after a month."""
    old = select(DeliveryRow.id).where(DeliveryRow.forget_at <= clock(session)).limit(FORGOTTEN_AT_ONCE)
    session.execute(delete(DeliveryRow).where(DeliveryRow.id.in_(old.with_for_update(skip_locked=True))))
