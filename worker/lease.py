"""Hold a claim while its stage runs: renew the lease, and learn whether to go on, from a thread of its own.

A thread, because nothing that the supervisor does for the stage (hashing gigabytes, waiting for a lock) may let the
lease run out.
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
from core.store.engine.claims import Claim, LeaseState

log = logging.getLogger(__name__)


class Lease:
    """The lease of one claim; while the block runs it is renewed."""

    def __init__(self, settings: Settings, database: Database, claim: Claim) -> None:
        self._answer = LeaseState.HELD
        self._settings = settings
        self._database = database
        self._claim = claim
        self._renewed_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._keep,), name=f"lease of {claim.stage.id}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def lease_state(self) -> LeaseState:
        """How the claim stood when last asked; lost, too, if nobody has answered for two thirds of the lease."""
        unheard = time.monotonic() - self._renewed_at > self._settings.lease_seconds * 2 / 3
        return LeaseState.LOST if unheard else self._answer

    @property
    def expired(self) -> bool:
        """The lease has run out, so far as this process knows: somebody else may have the stage."""
        return time.monotonic() - self._renewed_at > self._settings.lease_seconds

    def _keep(self) -> None:
        while self._answer is not LeaseState.LOST and not self._ended.wait(self._settings.cancel_poll_seconds):
            try:
                self._answer = self._ask()
            except StorageUnavailableError as error:
                log.warning("the lease of %s is not renewed: %s", self._claim.stage.id, error.detail)
            except Exception:
                log.exception("the lease of %s is not renewed", self._claim.stage.id)

    def _ask(self) -> LeaseState:
        asked_at = time.monotonic()
        if asked_at - self._renewed_at < self._settings.renew_seconds:
            with self._database.reading() as session:
                return claims.lease_state(session, self._claim)
        with self._database.writing() as session:
            lease_state = claims.renew(session, self._claim, lease_seconds=self._settings.lease_seconds)
        self._renewed_at = asked_at
        return lease_state
