"""A POST that may be sent twice and is done once."""

import hashlib
import json
from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.domain.spec import Frozen
from core.errors import InvalidSpecError
from core.store import runs


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, and under which Idempotency-Key; None: it may be done twice."""

    key: str | None
    digest: str

    @classmethod
    def of(cls, key: str | None, address: str, body: Frozen) -> "Asked":
        """The same key must come with the same address and the same body."""
        identity = [address, body.model_dump(mode="json", exclude_unset=True)]
        return cls(key, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())

    def answered(self, session: Session) -> str | None:
        """Id of the run that this has made before.

        Raises:
            InvalidSpecError: the key came with something else before.
        """
        row = runs.remembered(session, self.key) if self.key else None
        if row is None:
            return None
        if row.digest != self.digest:
            detail = "This Idempotency-Key came with another request before. Use a new key for a new run."
            raise InvalidSpecError(detail, field="Idempotency-Key")
        return row.run_id

    def remember(self, session: Session, run_id: str) -> None:
        """Keep the answer, in the transaction that makes the run."""
        if self.key:
            runs.remember(session, self.key, digest=self.digest, run_id=run_id)
            session.flush()
