"""API keys: whose each is and what it allows. The key itself is nowhere: only its SHA-256."""

from collections.abc import Iterable

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.store.database.session import now
from core.store.database.tables import ApiKeyRow
from core.store.engine import lifecycle


def add(session: Session, key_id: str, *, name: str, tenant: str, digest: str, scopes: Iterable[str]) -> ApiKeyRow:
    """Write a key; `digest` is its SHA-256 in hexadecimal."""
    row = ApiKeyRow(
        id=key_id,
        name=name,
        tenant=tenant,
        digest=digest,
        scopes=list(scopes),
        created_at=lifecycle.clock(session),
    )
    session.add(row)
    session.flush()
    return row


def every(session: Session) -> list[ApiKeyRow]:
    """All keys of all tenants, newest first, the revoked ones among them."""
    return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id.desc())))


def valid(session: Session, digest: str) -> ApiKeyRow | None:
    """The key of this SHA-256, None where there is none or it is revoked."""
    return session.scalar(select(ApiKeyRow).where(ApiKeyRow.digest == digest, ApiKeyRow.revoked_at.is_(None)))


def revoke(session: Session, key_id: str) -> None:
    """Make a key useless for ever; one that is revoked stays as it is.

    Raises:
        NotFoundError: there is no such key.
    """
    revoked = update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=now())
    session.execute(revoked)
    if session.get(ApiKeyRow, key_id) is None:
        raise NotFoundError(f"There is no key {key_id}. GET /v1/keys lists those there are.")


def any_valid(session: Session) -> bool:
    """Whether some key can be used."""
    return bool(session.scalar(select(exists().where(ApiKeyRow.revoked_at.is_(None)))))


def ever_made(session: Session) -> bool:
    """Whether there has been a key, revoked or not."""
    return bool(session.scalar(select(exists().where(ApiKeyRow.id.is_not(None)))))
