"""The Celery app of a worker.

It transports wake-ups only and stores no results. A message may be lost or delivered twice.
"""

import logging
import signal
import threading
import time
from typing import Any

from celery import Celery
from celery.worker import state
from kombu import Exchange, Queue
from kombu.asynchronous import set_event_loop
from kombu.transport import TRANSPORT_ALIASES, sqlalchemy
from sqlalchemy.exc import DBAPIError

from core.queue import broker
from core.settings import Settings

log = logging.getLogger(__name__)

POLLING = "polling"
"""Scheme of the broker's URL that selects `PollingTransport`. kombu caches the transport of its own scheme."""

SQLITE_POLL_SECONDS = 0.2
"""Pause between two reads of a SQLite broker.

Chosen by hand: a shorter pause starts tasks earlier and reads more often.
"""

AGAIN_SECONDS = 1.0
"""Pause in seconds before the restart of a listener that ended by itself. Chosen by hand; not measured."""

DECLARATIONS = 20
"""Tries to declare the queues. Chosen by hand: more workers that start together need more tries."""


class PollingTransport(sqlalchemy.Transport):  # type: ignore[misc]
    """kombu's SQLite transport that returns to Celery after each poll.

    Celery asks for messages for two seconds, and once more after the request to stop. A worker would take up to four
    seconds to stop.
    """

    polling_interval = SQLITE_POLL_SECONDS

    def drain_events(self, connection: object, timeout: float | None = None) -> None:  # noqa: ARG002 - see above
        """Deliver the next message, or raise `socket.timeout` after one poll without a message."""
        super().drain_events(connection, timeout=SQLITE_POLL_SECONDS)


def make_celery(settings: Settings) -> Celery:
    """Return a Celery app without tasks that uses the broker of the settings."""
    TRANSPORT_ALIASES[POLLING] = f"{__name__}:{PollingTransport.__name__}"
    app = Celery("embedreel", broker=settings.broker.replace("sqla+", f"{POLLING}+", 1))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in settings.queues],
        task_create_missing_queues=True,
        task_acks_late=True,
        task_ignore_result=True,
        task_reject_on_worker_lost=False,
        worker_pool="threads",
        # The extra thread receives wake-ups while all places are busy. Otherwise they would accumulate in the broker.
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
    """Declare the queues of a SQLite broker before the worker starts. Other brokers do not need this.

    kombu's SQLite transport checks that a queue exists and then inserts the queue. If several workers start together on
    a new file, the insertion fails in all but one of them. The insertion is then tried again.

    Args:
        app: the Celery app.
        pause_seconds: pause between two tries.
    """
    if not app.conf.broker_url.startswith(f"{POLLING}+sqlite"):
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
    """Stop the worker in good order on SIGTERM and Ctrl-C.

    Celery's own handlers are active only while Celery runs. They also write lines to standard output that are not log
    lines.

    Args:
        stopping: event that the signal sets.
    """

    def stop(_number: int, _frame: object) -> None:
        stopping.set()
        state.should_stop = 0  # Celery's listener reads this between two messages

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def ignore_signals() -> None:
    """Ignore SIGTERM and Ctrl-C after all tasks are given back, so that the process exits with status 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def listen(app: Celery, stopping: threading.Event, **options: Any) -> None:  # noqa: ANN401 - Celery's options
    """Receive wake-ups until the worker stops.

    After some outages of Redis, Celery's worker ends by itself: kombu fails with an AttributeError when it closes a
    lost connection. Celery's worker is then started again.

    Args:
        app: the Celery app.
        stopping: set when the worker shall stop.
        options: options of Celery's worker.
    """

    class Listener(app.Worker):  # type: ignore[misc]
        def install_platform_tweaks(self, worker: object) -> None:
            """Install no signal handlers: see `stop_on_signals`."""

    while not stopping.is_set():
        set_event_loop(None)  # an earlier loop has callbacks of lost connections
        try:
            Listener(quiet=True, without_gossip=True, without_mingle=True, **options).start()
        except Exception:
            log.exception("Celery's worker failed")
        if not stopping.is_set():
            log.warning("Celery's worker ended by itself and is started again")
            time.sleep(AGAIN_SECONDS)


def prefetch(url: str) -> int:
    """Return the number of messages that the worker prefetches for each thread.

    The number is 1 on a real broker, so that idle workers get the messages that a busy worker cannot handle. The number
    is 64 on SQLite. That transport sleeps between two messages that it may not deliver yet, so stale messages would
    delay new ones.

    Args:
        url: URL of the broker.
    """
    return 64 if url.startswith("sqla+sqlite") else 1
