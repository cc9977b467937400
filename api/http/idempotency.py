"""A POST that may be sent twice and is done once."""

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
        description="The same key and body make one thing, however often they are sent; kept for a day.",
    ),
]

REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true`: an earlier request with this Idempotency-Key made it.",
        "schema": {"type": "string"},
    }
}


def replay_header(*, replayed: bool) -> dict[str, str]:
    """The header of an answer that was given before."""
    return {"Idempotency-Replayed": "true"} if replayed else {}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a tenant asked, and under which Idempotency-Key; None: it may be done twice."""

    tenant: str
    key: str | None
    digest: str

    @classmethod
    def of(cls, tenant: str, key: str | None, address: str, body: Frozen | Mapping[str, Any]) -> "Asked":
        """The same key must come with the same address and the same body."""
        content = body.model_dump(mode="json", exclude_unset=True) if isinstance(body, Frozen) else body
        identity = json.dumps([address, content], sort_keys=True)
        return cls(tenant, key, hashlib.sha256(identity.encode()).hexdigest())

    def answered(self, session: Session) -> str | None:
        """Id of what this has made before.

        Raises:
            InvalidSpecError: the key came with something else before.
        """
        row = idempotency.remembered(session, self.key, tenant=self.tenant) if self.key else None
        if row is None:
            return None
        if row.digest != self.digest:
            detail = "This Idempotency-Key came with another request before. Use a new key for a new request."
            raise InvalidSpecError(detail, field="Idempotency-Key")
        return row.made_id

    def claim(self, session: Session) -> str | None:
        """Id of what this has made before; None: until the commit, nobody else makes one under this key.

        Raises:
            InFlightError: another process is making it now.
            InvalidSpecError: the key came with something else before.
        """
        if self.key and not idempotency.hold(session, self.key, tenant=self.tenant):
            raise InFlightError(BUSY)
        return self.answered(session)

    def remember(self, session: Session, made_id: str) -> None:
        """Keep the answer, in the transaction that makes the run or dataset."""
        if self.key:
            idempotency.remember(session, self.key, tenant=self.tenant, digest=self.digest, made_id=made_id)
            session.flush()


BUSY = "A request with this Idempotency-Key is being answered right now. Send yours again in a second."


@dataclass(frozen=True, slots=True)
class InFlight:
    """The Idempotency-Keys that this process is working on."""

    _keys: set[tuple[str, str]] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def exclusive(self, tenant: str, key: str | None) -> Iterator[None]:
        """Do the block for one request of this key at a time.

        Raises:
            InFlightError: another thread is in the block with this key.
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
