"""Webhooks: kinds of events, statuses of deliveries, and pauses between attempts."""

from collections.abc import Sequence
from enum import StrEnum

TEST = "webhook.test"


class EventKind(StrEnum):
    """Kinds of events that a webhook may subscribe to: changes of a run's status, and embedded checkpoints."""

    QUEUED = "run.queued"
    RUNNING = "run.running"
    CANCELLING = "run.cancelling"
    SUCCEEDED = "run.succeeded"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"
    CHECKPOINT = "checkpoint"


EVENTS = frozenset(EventKind)
DEFAULT_EVENTS = (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED)

_MINUTE, _HOUR = 60.0, 3600.0

PAUSES: tuple[float, ...] = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
"""Pauses between attempts, seconds, from the Standard Webhooks specification: ten attempts in about three days."""


class DeliveryStatus(StrEnum):
    """Status of a delivery: to be sent, accepted by the receiver, or given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def pause_after(failures: int, *, asked: float | None = None, pauses: Sequence[float] = PAUSES) -> float | None:
    """Return the seconds until the next attempt; None if there is none.

    Args:
        failures: number of failed attempts, at least 1.
        asked: Retry-After of the receiver, seconds. It is used up to the length of the next pause.
        pauses: pauses between attempts, seconds.

    >>> pause_after(1), pause_after(1, asked=60), pause_after(1, asked=1e6), pause_after(10)
    (5.0, 60, 300.0, None)
    """
    if failures > len(pauses):
        return None
    longest = pauses[min(failures, len(pauses) - 1)]
    return max(pauses[failures - 1], min(asked or 0.0, longest))
