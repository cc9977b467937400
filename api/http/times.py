"""Convert times of the database to times of the API."""

from datetime import UTC, datetime


def timestamp(seconds: float) -> datetime:
    """Convert seconds since 1970 to a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def optional_timestamp(seconds: float | None) -> datetime | None:
    """Convert seconds since 1970 to a time in UTC. None stays None."""
    return None if seconds is None else timestamp(seconds)
