"""What each kind of broker must be told; plain data, so that API and worker say the same.

Every transport option of SQLite's transport goes to SQLAlchemy's create_engine, so it takes none but that one's.
"""

from typing import Any

from sqlalchemy import NullPool

REDELIVERY_SECONDS = 900


def consuming(url: str) -> dict[str, Any]:
    """Transport options of a worker that waits for bells: patient."""
    if url.startswith("sqla+sqlite"):
        return _sqlite(timeout_seconds=30)
    if url.startswith("redis"):
        return {
            "visibility_timeout": REDELIVERY_SECONDS,
            "unacked_restore_limit": 1000,
            "socket_connect_timeout": 2,
        }
    return {}


def sender(url: str) -> dict[str, Any]:
    """Configuration of a Celery app that only rings bells: it gives up soon, the sweep rings again."""
    return {
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_create_missing_queues": True,
        "broker_connection_timeout": 2,
        "broker_transport_options": _sending(url),
    }


def _sqlite(*, timeout_seconds: float) -> dict[str, Any]:
    """Without a pool: a channel that failed, on a full disk say, keeps its connection; sixteen would end a worker."""
    return {"connect_args": {"timeout": timeout_seconds}, "poolclass": NullPool}


def _sending(url: str) -> dict[str, Any]:
    if url.startswith("sqla+sqlite"):
        return _sqlite(timeout_seconds=10)
    if url.startswith("redis"):
        return {
            "visibility_timeout": REDELIVERY_SECONDS,
            "socket_connect_timeout": 2,
            "socket_timeout": 2,
            "max_retries": 0,
            "connect_retries_timeout": 2,
        }
    return {}
