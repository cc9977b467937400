"""The Celery app: a doorbell. It carries ids, keeps no results, and may lose or double any message."""

import time

from celery import Celery
from kombu import Exchange, Queue
from kombu.transport import sqlalchemy
from sqlalchemy.exc import DBAPIError

from core.queue import broker
from core.settings import Settings

SQLITE_POLL_SECONDS = 0.2
DECLARATIONS = 20


def make_celery(settings: Settings) -> Celery:
    """A Celery app on the broker of the settings, without tasks."""
    sqlalchemy.Transport.polling_interval = SQLITE_POLL_SECONDS  # its transport options all go to create_engine
    app = Celery("embedreel", broker=settings.broker)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in settings.queues],
        task_create_missing_queues=True,
        task_acks_late=True,
        task_ignore_result=True,
        task_reject_on_worker_lost=False,
        worker_pool="threads",
        # One hears the bells that no place is free for: where there is always work, they would pile up in the broker.
        worker_concurrency=settings.worker_concurrency + 1,
        worker_prefetch_multiplier=prefetch(settings.broker),
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=broker.consuming(settings.broker),
    )
    return app


def declare_queues(app: Celery, *, pause_seconds: float = 0.1) -> None:
    """Make the queues of a SQLite broker, before the worker looks for them.

    Its transport looks whether a queue is there, then inserts it: of workers that start together on a new file, all but
    one would end here. Other brokers need none of this.
    """
    if not app.conf.broker_url.startswith("sqla+sqlite"):
        return
    for attempt in range(DECLARATIONS):
        try:
            with app.connection_for_write() as connection:
                for queue in app.conf.task_queues:
                    queue(connection.default_channel).declare()
        except DBAPIError:
            if attempt == DECLARATIONS - 1:
                raise
            time.sleep(pause_seconds)
        else:
            return


def prefetch(url: str) -> int:
    """Bells held at once for each place of the worker.

    One on a real broker, so that idle workers get what a busy one cannot take. The SQLite transport sleeps between two
    messages that it may not deliver yet, so that stale bells would delay fresh ones there.
    """
    return 64 if url.startswith("sqla+sqlite") else 1
