"""Results of POST requests with an Idempotency-Key, kept for a day.

A repeated request returns the run or dataset that the first request made.
"""

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from core.store.database.session import clock, now
from core.store.database.tables import IdempotencyRow

KEPT_SECONDS = 24 * 3600.0


def remembered(session: Session, key: str, *, tenant: str) -> IdempotencyRow | None:
    """Return the recorded result of a tenant's Idempotency-Key; None if there is none."""
    return session.get(IdempotencyRow, (tenant, key))


def hold(session: Session, key: str, *, tenant: str) -> bool:
    """Lock a tenant's Idempotency-Key until the commit. SQLite needs no lock because it has one writer at a time.

    Returns:
        False if another transaction has the lock.
    """
    if session.get_bind().dialect.name != "postgresql":
        return True
    lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 1))")
    return bool(session.execute(lock, {"key": f"{tenant} {key}"}).scalar_one())


def remember(session: Session, key: str, *, tenant: str, digest: str, made_id: str) -> None:
    """Record the result of a request, in the transaction that makes the run or dataset.

    Args:
        session: transaction of the caller.
        key: the Idempotency-Key.
        tenant: owner of the rows.
        digest: SHA-256 of the request's address and body, in hexadecimal.
        made_id: id of the run or dataset that the request made.
    """
    session.add(IdempotencyRow(tenant=tenant, key=key, digest=digest, made_id=made_id, created_at=clock(session)))


def forget(session: Session, made_id: str) -> None:
    """Delete the recorded results that name a run or dataset that is being deleted."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.made_id == made_id))


def forget_old(session: Session) -> None:
    """Delete the recorded results that are older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now() - KEPT_SECONDS))
