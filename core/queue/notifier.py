"""Ring the workers' bell, after the commit. A bell that is not rung is left to the sweep.

Bells are handed to a thread, so that a broker that is away, or whose file somebody holds, delays no request and no
stage. The message carries ids only.
"""

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Any, Protocol

from core.store.engine.lifecycle import WakeUp

log = logging.getLogger(__name__)

MAX_WAITING = 1000
"""More bells than this are dropped: the sweep rings for them."""

STOP_SECONDS = 2.0


class Sender(Protocol):
    """What a Celery app is to a ringer."""

    def send_task(self, name: str, args: tuple[str, ...], *, queue: str, retry: bool) -> Any:  # noqa: ANN401 - Celery's
        """Put a message into a queue."""

    def close(self) -> None:
        """Give connections back."""


class Notifier:
    """Rings bells from a thread of its own."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._waiting: queue.Queue[WakeUp | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name="ringer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ring what is waiting, unless the broker is away, and end."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._sender.close()

    def notify(self, wake_ups: Iterable[WakeUp]) -> None:
        """Say that these stages can be had. Returns at once."""
        for wake_up in wake_ups:
            try:
                self._waiting.put_nowait(wake_up)
            except queue.Full:
                log.warning("bell of %s %s not rung: too many are waiting", wake_up.run_id, wake_up.stage_id)

    def _work(self) -> None:
        while (wake_up := self._waiting.get()) is not None:
            self._send(wake_up)

    def _send(self, wake_up: WakeUp) -> None:
        try:
            ids = (wake_up.run_id, wake_up.stage_id)
            self._sender.send_task(f"embedreel.{wake_up.name}", ids, queue=wake_up.queue, retry=False)
        except Exception as error:  # noqa: BLE001 - every transport has exceptions of its own
            log.warning("bell of %s %s not rung: %s", wake_up.run_id, wake_up.stage_id, error)
