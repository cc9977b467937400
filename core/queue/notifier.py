"""Send wake-ups to the workers after the commit. The sweep sends a lost wake-up again.

A thread sends the wake-ups. So an unavailable broker, or a locked broker file, delays no request and no stage.
A message contains only the name of its queue. The workers read the queued stages from the database.
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
"""Further wake-ups are dropped, and the sweep sends them again. Each takes about 200 bytes of memory."""

STOP_SECONDS = 2.0


class Sender(Protocol):
    """The part of a Celery app that a notifier uses."""

    def send_task(self, name: str, args: tuple[str, ...], *, queue: str, retry: bool) -> Any:  # noqa: ANN401 - Celery's
        """Put a message into a queue."""

    def close(self) -> None:
        """Close the connections."""


class Notifier:
    """Sends wake-ups from its own thread."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._waiting: queue.Queue[WakeUp | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Send the waiting wake-ups, unless the broker is unavailable, and end the thread."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._sender.close()

    def notify(self, wake_ups: Iterable[WakeUp]) -> None:
        """Notify the workers that these stages are queued. The function returns at once."""
        for wake_up in wake_ups:
            try:
                self._waiting.put_nowait(wake_up)
            except queue.Full:
                log.warning("wake-up for %s %s not sent: too many are waiting", wake_up.run_id, wake_up.stage_id)

    def _work(self) -> None:
        while (wake_up := self._waiting.get()) is not None:
            self._send(wake_up)

    def _send(self, wake_up: WakeUp) -> None:
        try:
            self._sender.send_task(TASK, (wake_up.queue,), queue=wake_up.queue, retry=False)
        except Exception as error:  # noqa: BLE001 - every transport has its own exceptions
            log.warning("wake-up for %s %s not sent: %s", wake_up.run_id, wake_up.stage_id, error)
