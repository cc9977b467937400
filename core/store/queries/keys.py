"""API keys with their tenants and scopes. Only the SHA-256 of a key is stored, not the key itself."""

from collections.abc import Iterable

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from core.errors import NotFoundError
from core.store.database.session import clock, now
from core.store.database.tables import ApiKeyRow


def add(session: Session, key_id: str, *, name: str, tenant: str, digest: str, scopes: Iterable[str]) -> ApiKeyRow:
    """Insert a key.

    Args:
        session: transaction of the caller.
        key_id: id of the key.
        name: name of the key.
        tenant: owner of the rows.
        digest: SHA-256 of the key, in hexadecimal.
        scopes: what the key permits.
    """
    row = ApiKeyRow(
        id=key_id,
        name=name,
        tenant=tenant,
        digest=digest,
        scopes=list(scopes),
        created_at=clock(session),
    )
    session.add(row)
    session.flush()
    return row


def every(session: Session) -> list[ApiKeyRow]:
    """Return all keys of all tenants, newest first, including revoked keys."""
    return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id.desc())))


def valid(session: Session, digest: str) -> ApiKeyRow | None:
    """Return the key with this SHA-256; None if there is no such key or it is revoked."""
    return session.scalar(select(ApiKeyRow).where(ApiKeyRow.digest == digest, ApiKeyRow.revoked_at.is_(None)))


def revoke(session: Session, key_id: str) -> None:
    """Revoke a key for ever. A revoked key stays unchanged.

    Raises:
        NotFoundError: there is no such key.
    """
    revoked = update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=now())
    session.execute(revoked)
    if session.get(ApiKeyRow, key_id) is None:
        raise NotFoundError(f"There is no key {key_id}. GET /v1/keys lists the existing ones.")


def any_valid(session: Session) -> bool:
    """Return True if there is a key that is not revoked."""
    return bool(session.scalar(select(exists().where(ApiKeyRow.revoked_at.is_(None)))))


def ever_made(session: Session) -> bool:
    """Return True if a key was ever made, revoked or not."""
    return bool(session.scalar(select(exists().where(ApiKeyRow.id.is_not(None)))))
