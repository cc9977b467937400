"""What POSTs under an Idempotency-Key have made, kept for a day: the same request is answered with it again."""

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from core.store.database.session import now
from core.store.database.tables import IdempotencyRow
from core.store.engine import lifecycle

KEPT_SECONDS = 24 * 3600.0


def remembered(session: Session, key: str, *, tenant: str) -> IdempotencyRow | None:
    """What was answered to this Idempotency-Key of a tenant."""
    return session.get(IdempotencyRow, (tenant, key))


def hold(session: Session, key: str, *, tenant: str) -> bool:
    """Until the commit, let nobody else answer to this Idempotency-Key; False where somebody is at it.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name != "postgresql":
        return True
    held = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 1))")
    return bool(session.execute(held, {"key": f"{tenant} {key}"}).scalar_one())


def remember(session: Session, key: str, *, tenant: str, digest: str, made_id: str) -> None:
    """Keep the answer to an Idempotency-Key, in the transaction that makes the run or dataset."""
    session.add(
        IdempotencyRow(tenant=tenant, key=key, digest=digest, made_id=made_id, created_at=lifecycle.clock(session))
    )


def forget(session: Session, made_id: str) -> None:
    """Let go of the answers that name a run or dataset, which is being deleted."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.made_id == made_id))


def forget_old(session: Session) -> None:
    """Let go of the answers that are older than a day."""
    session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < now() - KEPT_SECONDS))
