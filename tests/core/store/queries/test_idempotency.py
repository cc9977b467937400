from sqlalchemy import update

from core.store.database.session import clock
from core.store.database.tables import IdempotencyRow
from core.store.queries import idempotency


def remembered(database, key):
    with database.reading() as session:
        return idempotency.remembered(session, key, tenant="lab") is not None


def test_forget_old__a_day_later(database):
    with database.writing() as session:
        for key in ("old", "young"):
            idempotency.remember(session, key, tenant="lab", digest="d", made_id="run_1")
        session.flush()
        old = update(IdempotencyRow).where(IdempotencyRow.key == "old")
        session.execute(old.values(created_at=clock(session) - idempotency.KEPT_SECONDS - 1))
        young = update(IdempotencyRow).where(IdempotencyRow.key == "young")
        session.execute(young.values(created_at=clock(session) - idempotency.KEPT_SECONDS + 60))
    with database.writing() as session:
        idempotency.forget_old(session)
    assert (remembered(database, "old"), remembered(database, "young")) == (False, True)


def test_forget__requests_of_a_deleted_run(database):
    with database.writing() as session:
        for key, made in (("one", "run_1"), ("other", "run_2")):
            idempotency.remember(session, key, tenant="lab", digest="d", made_id=made)
    with database.writing() as session:
        idempotency.forget(session, "run_1")
    assert (remembered(database, "one"), remembered(database, "other")) == (False, True)


def test_remembered__of_another_tenant(database):
    with database.writing() as session:
        idempotency.remember(session, "key", tenant="lab", digest="d", made_id="run_1")
    with database.reading() as session:
        assert idempotency.remembered(session, "key", tenant="other") is None
