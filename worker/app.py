"""The Celery app: a doorbell. It carries ids, keeps no results, and may lose or double any message."""

import logging
import signal
import threading
import time
from typing import Any

from celery import Celery
from celery.worker import state
from kombu import Exchange, Queue
from kombu.asynchronous import set_event_loop
from kombu.transport import sqlalchemy
from sqlalchemy.exc import DBAPIError

from core.queue import broker
from core.settings import Settings

log = logging.getLogger(__name__)

SQLITE_POLL_SECONDS = 0.2
AGAIN_SECONDS = 1.0
"""Between the end of a listener that nobody asked to end, and the next one."""

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


def stop_on_signals(stopping: threading.Event) -> None:
    """Let SIGTERM and Ctrl-C end the worker in good order, from its start to its end, in place of Celery's handlers.

    Those are there only while Celery runs, and write to standard output what is no line of the log.
    """

    def stop(_number: int, _frame: object) -> None:
        stopping.set()
        state.should_stop = 0  # Celery's listener looks at it between two messages

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def ignore_signals() -> None:
    """All is given back: what ends the process now may not end it otherwise than in good order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def listen(app: Celery, stopping: threading.Event, **options: Any) -> None:  # noqa: ANN401 - Celery's options
    """Hear bells until the worker is to stop.

    After some outages of Redis Celery's worker ends by itself, when its transport fails to close a connection that is
    gone (kombu's AttributeError). It is then begun anew.
    """

    class Listener(app.Worker):  # type: ignore[misc]
        def install_platform_tweaks(self, worker: object) -> None:
            """Leave signals alone: see `stop_on_signals`."""

    while not stopping.is_set():
        set_event_loop(None)  # an earlier one has callbacks of connections that are gone
        try:
            Listener(quiet=True, without_gossip=True, without_mingle=True, **options).start()
        except Exception:
            log.exception("Celery's worker failed")
        if not stopping.is_set():
            log.warning("Celery's worker has ended by itself, and is begun anew")
            time.sleep(AGAIN_SECONDS)


def prefetch(url: str) -> int:
    """Bells held at once for each place of the worker.

    One on a real broker, so that idle workers get what a busy one cannot take. The SQLite transport sleeps between two
    messages that it may not deliver yet, so that stale bells would delay fresh ones there.
    """
    return 64 if url.startswith("sqla+sqlite") else 1
