"""Webhooks: of what they hear, how a delivery stands, and when it is tried again."""

from collections.abc import Sequence
from enum import StrEnum

TEST = "webhook.test"


class EventKind(StrEnum):
    """What a webhook may ask for: every change of a run's status, and every checkpoint that is embedded."""

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
"""Seconds between attempts, as the Standard Webhooks specification suggests: ten attempts in a good three days."""


class DeliveryStatus(StrEnum):
    """How a delivery stands: to be sent, taken by the receiver, or given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def pause_after(failures: int, *, asked: float | None = None, pauses: Sequence[float] = PAUSES) -> float | None:
    """Seconds until the next attempt, None when there is none.

    Args:
        failures: attempts that failed so far, at least 1.
        asked: seconds that the receiver asks for (Retry-After). It gets them, up to the pause after this one.

    >>> pause_after(1), pause_after(1, asked=60), pause_after(1, asked=1e6), pause_after(10)
    (5.0, 60, 300.0, None)
    """
    if failures > len(pauses):
        return None
    longest = pauses[min(failures, len(pauses) - 1)]
    return max(pauses[failures - 1], min(asked or 0.0, longest))
