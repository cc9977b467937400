"""Idempotency keys: a client may send a POST several times, and the service carries it out once."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Header
from sqlalchemy.orm import Session

from api.http.errors import InFlightError
from core.domain.frozen import Frozen
from core.errors import InvalidSpecError
from core.store.queries import idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Requests with the same key and body are carried out once. Keys are kept for a day.",
    ),
]

REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true`: an earlier request with this Idempotency-Key created the resource.",
        "schema": {"type": "string"},
    }
}


def replay_header(*, replayed: bool) -> dict[str, str]:
    """Return the header that marks a replayed response; empty if `replayed` is False."""
    return {"Idempotency-Replayed": "true"} if replayed else {}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and its Idempotency-Key.

    Attributes:
        tenant: the caller's tenant.
        key: the Idempotency-Key; None if the request may be carried out several times.
        digest: SHA-256 digest of path and body, hexadecimal.
    """

    tenant: str
    key: str | None
    digest: str

    @classmethod
    def of(cls, tenant: str, key: str | None, address: str, body: Frozen | Mapping[str, Any]) -> "Asked":
        """Make the record of a request.

        Args:
            tenant: the caller's tenant.
            key: the Idempotency-Key, or None.
            address: name of the operation, such as "runs". The same key with another address is refused.
            body: the request's body. The same key with another body is refused.
        """
        content = body.model_dump(mode="json", exclude_unset=True) if isinstance(body, Frozen) else body
        identity = json.dumps([address, content], sort_keys=True)
        return cls(tenant, key, hashlib.sha256(identity.encode()).hexdigest())

    def answered(self, session: Session) -> str | None:
        """Return the id of the run or dataset that an earlier request with this key created, or None.

        Raises:
            InvalidSpecError: the key was used for another request before.
        """
        row = idempotency.remembered(session, self.key, tenant=self.tenant) if self.key else None
        if row is None:
            return None
        if row.digest != self.digest:
            detail = "Another request used this Idempotency-Key before. Use a new key for a new request."
            raise InvalidSpecError(detail, field="Idempotency-Key")
        return row.made_id

    def claim(self, session: Session) -> str | None:
        """Lock the key until the commit, and return the id that an earlier request with this key created, or None.

        Raises:
            InFlightError: another process holds the lock of this key.
            InvalidSpecError: the key was used for another request before.
        """
        if self.key and not idempotency.hold(session, self.key, tenant=self.tenant):
            raise InFlightError(BUSY)
        return self.answered(session)

    def remember(self, session: Session, made_id: str) -> None:
        """Store the created id under the key. Call this in the transaction that creates the run or dataset."""
        if self.key:
            idempotency.remember(session, self.key, tenant=self.tenant, digest=self.digest, made_id=made_id)
            session.flush()


BUSY = "Another request with this Idempotency-Key is being processed. Send the request again in a second."


@dataclass(frozen=True, slots=True)
class InFlight:
    """The Idempotency-Keys whose requests this process is handling."""

    _keys: set[tuple[str, str]] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def exclusive(self, tenant: str, key: str | None) -> Iterator[None]:
        """Run the block for at most one request of this key at a time. Without a key, there is no limit.

        Raises:
            InFlightError: another thread is running the block with this key.
        """
        if key is None:
            yield
            return
        with self._turn:
            if (tenant, key) in self._keys:
                raise InFlightError(BUSY)
            self._keys.add((tenant, key))
        try:
            yield
        finally:
            with self._turn:
                self._keys.remove((tenant, key))
