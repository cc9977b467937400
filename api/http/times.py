"""Times of the database as times of the API."""

from datetime import UTC, datetime


def timestamp(seconds: float) -> datetime:
    """Seconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def optional_timestamp(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a time in UTC; None for None."""
    return None if seconds is None else timestamp(seconds)
