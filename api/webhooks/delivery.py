"""Send due webhook deliveries: one thread claims them, and up to SENDERS threads send them.

A claim lasts longer than sending may take, and the result is stored afterwards. If the process is killed in between,
the claim expires and another attempt follows, so no delivery is lost.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus

from api.http.errors import RefusedUrlError, as_problem
from api.runs.describe import links
from api.webhooks import outbound, targets
from api.webhooks.outbound import WebhookResponse
from api.webhooks.signing import signed_headers
from core.domain.run import RunStatus
from core.domain.webhook import PAUSES, pause_after
from core.errors import StorageUnavailableError
from core.store.database.session import Database
from core.store.queries import deliveries
from core.store.queries.deliveries import DeliveryAttempt

log = logging.getLogger(__name__)

# The numbers below are chosen by hand; not measured.

SENDERS = 16
"""Maximum number of deliveries that this process sends at a time."""

SEND_SECONDS = 10.0
"""Time limit of an attempt, seconds: DNS lookup, connection and response together."""

LOOKUP_SECONDS = 5.0
"""Time limit of the DNS lookup, seconds."""

LEASE_SECONDS = 60.0
"""Time after which a claimed delivery is due again, seconds. It must be longer than SEND_SECONDS."""

STOP_SECONDS = 2.0
"""Maximum time for which `Deliverer.stop` waits for its threads, seconds."""

JITTER = 0.2
"""Maximum random increase of a pause, as a fraction. It spreads the retries to a receiver that answers again."""

_WAITS = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses whose Retry-After header is followed."""


class Deliverer:
    """Sends deliveries in threads: several at a time, but at most one to each webhook."""

    def __init__(
        self,
        database: Database,
        *,
        allow_private: bool,
        poll_seconds: float,
        pauses: Sequence[float] = PAUSES,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database = database
        self._allow_private = allow_private
        self._poll_seconds = poll_seconds
        self._pauses = pauses
        self._lease_seconds = lease_seconds
        self._sending: dict[str, threading.Thread] = {}
        self._awake = threading.Event()
        self._stopped = threading.Event()
        self._abandoned = threading.Event()  # the database is closed by then
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        """Start the claiming thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop within STOP_SECONDS. A delivery that is still being sent is retried after its lease expires."""
        self._stopped.set()
        self._awake.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in (self._thread, *list(self._sending.values())):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._abandoned.set()

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._awake.clear()
            try:
                self._start_due()
            except StorageUnavailableError as error:
                log.warning("webhooks: %s", error.detail)
            except Exception:
                log.exception("due webhook deliveries could not be claimed; the next attempt follows")
            self._awake.wait(self._poll_seconds)

    def _start_due(self) -> None:
        busy = list(self._sending)
        free = SENDERS - len(busy)
        if not free or not self._awaited(busy):
            return
        with self._database.writing() as session:
            claimed = deliveries.claim(session, limit=free, lease_seconds=self._lease_seconds, busy=busy)
        for attempt in claimed:
            thread = threading.Thread(target=self._deliver, args=[attempt], name=attempt.delivery_id, daemon=True)
            self._sending[attempt.webhook_id] = thread
            thread.start()

    def _awaited(self, busy: list[str]) -> bool:
        with self._database.reading() as session:
            return deliveries.awaited(session, busy=busy)

    def _deliver(self, attempt: DeliveryAttempt) -> None:
        try:
            response = self._attempt(attempt)
            if not self._abandoned.is_set():
                self._settle(attempt, response)
        except StorageUnavailableError as error:
            log.warning("webhook %s: the attempt is repeated: %s", attempt.webhook_id, error.detail)
        except Exception:
            log.exception("webhook %s: the attempt is repeated", attempt.webhook_id)
        finally:
            del self._sending[attempt.webhook_id]
            self._awake.set()  # the next delivery to this webhook can start at once

    def _attempt(self, attempt: DeliveryAttempt) -> WebhookResponse:
        try:
            return self._send(attempt)
        except Exception:
            log.exception("webhook %s: sending failed", attempt.webhook_id)
            return WebhookResponse(None, "This service failed to send the delivery. Its log has the details.")

    def _send(self, attempt: DeliveryAttempt) -> WebhookResponse:
        body = message(attempt)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Embedreel",
            **signed_headers(attempt.secret, attempt.delivery_id, body, timestamp=int(time.time())),
        }
        started = time.monotonic()
        try:
            target = targets.find(attempt.url, allow_private=self._allow_private, seconds=LOOKUP_SECONDS)
        except RefusedUrlError as error:
            return WebhookResponse(None, error.detail)
        return outbound.post(target, body, headers, seconds=SEND_SECONDS - (time.monotonic() - started))

    def _settle(self, attempt: DeliveryAttempt, response: WebhookResponse) -> None:
        status = response.status
        error = response.error or f"The receiver answered {status}, not 2xx."
        with self._database.writing() as session:
            if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                deliveries.delivered(session, attempt, status=status)
            elif status == HTTPStatus.GONE:
                deliveries.gone(session, attempt, status=status, error=error)
            else:
                deliveries.failed(session, attempt, status=status, error=error, pause=self._pause(attempt, response))

    def _pause(self, attempt: DeliveryAttempt, response: WebhookResponse) -> float | None:
        asked = response.retry_after if response.status in _WAITS else None
        pause = pause_after(attempt.failures + 1, asked=asked, pauses=self._pauses)
        return None if pause is None else pause * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret


def message(attempt: DeliveryAttempt) -> bytes:
    """Return the JSON body of a delivery: the outbox's payload, with the run's links and the error as a problem."""
    data = dict(attempt.payload["data"])
    keeps_weights = data.pop("keeps_weights", False)
    if "run_id" in data:
        done = data["status"] == RunStatus.SUCCEEDED
        data["links"] = links(data["run_id"], film=done, model=done and keeps_weights).model_dump()
    if "error" in data:
        data["error"] = as_problem(data["error"])
    return json.dumps({**attempt.payload, "data": data}, separators=(",", ":")).encode()
