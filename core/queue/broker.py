"""Celery options for each kind of broker, as plain data that API and worker share.

kombu's SQLite transport passes every transport option to SQLAlchemy's `create_engine`. So only options of
`create_engine` are allowed there.
"""

from typing import Any

from sqlalchemy import NullPool

REDELIVERY_SECONDS = 900
"""Seconds after which Redis delivers an unacknowledged message again.

Chosen by hand; not measured. The sweep usually sends a wake-up for the task much earlier.
"""


def consuming(url: str) -> dict[str, Any]:
    """Return the transport options of a worker, which waits for messages.

    The timeouts and `unacked_restore_limit` are chosen by hand; not measured.

    Args:
        url: URL of the broker.
    """
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
    """Return the configuration of a Celery app that only sends.

    The app gives up after 2 s on Redis and after 10 s on SQLite, because the sweep sends a lost wake-up again. The
    timeouts are chosen by hand.

    Args:
        url: URL of the broker.
    """
    return {
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_create_missing_queues": True,
        "broker_connection_timeout": 2,
        "broker_transport_options": _sending(url),
    }


def _sqlite(*, timeout_seconds: float) -> dict[str, Any]:
    """Return the options of a SQLite transport without a connection pool.

    A channel that fails, for example on a full disk, keeps its connection. With a pool, sixteen such connections end
    the worker.

    Args:
        timeout_seconds: maximum time in seconds that a statement waits for the lock of the file.
    """
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
