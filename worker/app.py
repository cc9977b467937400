"""The Celery app: a doorbell. It carries ids, keeps no results, and may lose or double any message."""

from celery import Celery
from kombu import Queue

from core.settings import Settings


def make_celery(settings: Settings) -> Celery:
    """A Celery app on the broker of the settings, without tasks."""
    app = Celery("embedreel", broker=settings.broker)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name) for name in settings.queues],
        task_create_missing_queues=True,
        task_acks_late=True,
        task_ignore_result=True,
        task_reject_on_worker_lost=False,
        worker_pool="threads",
        worker_concurrency=settings.worker_concurrency,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport_options(settings.broker),
    )
    return app


def transport_options(broker: str) -> dict[str, object]:
    """What each broker needs: SQLite patience with locks, Redis a late and slow return of unacknowledged bells."""
    if broker.startswith("sqla+sqlite"):
        return {"connect_args": {"timeout": 30}}
    if broker.startswith("redis"):
        return {"visibility_timeout": 900, "unacked_restore_limit": 1000, "socket_connect_timeout": 2}
    return {}
