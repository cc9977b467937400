"""Send wake-ups to the workers after the commit of a transaction.

A separate thread sends the wake-ups, so that an unavailable broker or a locked broker file delays no request and no
task. A message contains only the name of its queue. The workers read the queued tasks from the database. A wake-up
may be lost: the sweep sends another wake-up for a task that is still queued.
"""

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Any, Protocol

from core.store.engine.lifecycle import WakeUp

log = logging.getLogger(__name__)

TASK = "embedreel.wake"
"""Name of the one Celery task. Its argument is the queue."""

MAX_WAITING = 1000
"""Maximum number of wake-ups that wait for the thread. Further wake-ups are dropped.

Chosen by hand: a wake-up takes about 200 bytes of memory.
"""

STOP_SECONDS = 2.0
"""Time in seconds for sending the waiting wake-ups at the end. Chosen by hand; not measured."""


class Sender(Protocol):
    """The part of a Celery app that a notifier uses."""

    def send_task(self, name: str, args: tuple[str, ...], *, queue: str, retry: bool) -> Any:  # noqa: ANN401 - Celery's
        """Put a message into a queue.

        Args:
            name: name of the Celery task.
            args: arguments of the task.
            queue: name of the queue.
            retry: True: try again if the broker is unavailable.
        """

    def close(self) -> None:
        """Close the connections."""


class Notifier:
    """Sends wake-ups from its own thread.

    Args:
        sender: a Celery app. `stop` closes its connections.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._waiting: queue.Queue[WakeUp | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Send the waiting wake-ups and end the thread.

        The method returns after at most STOP_SECONDS, even if the broker does not answer. If MAX_WAITING wake-ups wait,
        the method returns at once. Wake-ups that are not sent are lost.
        """
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._sender.close()

    def notify(self, wake_ups: Iterable[WakeUp]) -> None:
        """Queue wake-ups for the thread and return at once. If MAX_WAITING wake-ups wait, drop further wake-ups.

        Args:
            wake_ups: one wake-up for each task that is queued.
        """
        for wake_up in wake_ups:
            try:
                self._waiting.put_nowait(wake_up)
            except queue.Full:
                log.warning("wake-up for %s %s not sent: too many are waiting", wake_up.run_id, wake_up.task_id)

    def _work(self) -> None:
        while (wake_up := self._waiting.get()) is not None:
            self._send(wake_up)

    def _send(self, wake_up: WakeUp) -> None:
        try:
            self._sender.send_task(TASK, (wake_up.queue,), queue=wake_up.queue, retry=False)
        except Exception as error:  # noqa: BLE001 - every transport has its own exceptions
            log.warning("wake-up for %s %s not sent: %s", wake_up.run_id, wake_up.task_id, error)
