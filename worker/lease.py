"""Renewal of a lease while its task runs, from a separate thread.

The thread also reads the state of the claim. A thread is necessary because long work of the supervisor, such as hashing
gigabytes or waiting for a lock, must not let the lease expire.
"""

import logging
import threading
import time
from contextvars import copy_context
from typing import Self

from core.errors import StorageUnavailableError
from core.settings import Settings
from core.store.database.session import Database
from core.store.engine import claims
from core.store.engine.claim import Claim
from core.store.engine.claims import LeaseState

log = logging.getLogger(__name__)


class Lease:
    """The lease of one claim. Inside the `with` block, a thread renews the lease."""

    def __init__(self, settings: Settings, database: Database, claim: Claim) -> None:
        self._state = LeaseState.HELD
        self._settings = settings
        self._database = database
        self._claim = claim
        self._renewed_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._renew_until_ended,), name=f"lease of {claim.task.id}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def lease_state(self) -> LeaseState:
        """The last known state of the claim.

        The state is LOST if no renewal has succeeded for two thirds of `lease_seconds`. In the remaining third, the
        supervisor stops the task before another worker may claim the task. Two thirds are chosen by hand; not
        measured.
        """
        overdue = time.monotonic() - self._renewed_at > self._settings.lease_seconds * 2 / 3
        return LeaseState.LOST if overdue else self._state

    @property
    def expired(self) -> bool:
        """True if no renewal has succeeded for `lease_seconds`, so that another worker may have claimed the task."""
        return time.monotonic() - self._renewed_at > self._settings.lease_seconds

    def _renew_until_ended(self) -> None:
        while self._state is not LeaseState.LOST and not self._ended.wait(self._settings.cancel_poll_seconds):
            try:
                self._state = self._read_or_renew()
            except StorageUnavailableError as error:
                log.warning("the lease of %s is not renewed: %s", self._claim.task.id, error.detail)
            except Exception:
                log.exception("the lease of %s is not renewed", self._claim.task.id)

    def _read_or_renew(self) -> LeaseState:
        started_at = time.monotonic()
        if started_at - self._renewed_at < self._settings.renew_seconds:
            with self._database.reading() as session:
                return claims.lease_state(session, self._claim)
        with self._database.writing() as session:
            lease_state = claims.renew(session, self._claim, lease_seconds=self._settings.lease_seconds)
        self._renewed_at = started_at
        return lease_state
