import pytest
from sqlalchemy import event, select

from core.errors import NotReadyError
from core.store.database.tables import DEFAULT_TENANT, DeliveryRow, EventRow
from core.store.engine import failures
from core.store.queries import deliveries, runs, webhooks

ALL = ("run.queued", "run.running", "run.cancelling", "run.succeeded", "run.failed", "run.cancelled", "checkpoint")


@pytest.fixture
def hook(engine):
    def add(*events, tenant=DEFAULT_TENANT):
        row = engine.call(webhooks.add, tenant=tenant, url="https://example.com/", secret="whsec_", events=events)
        return row.id

    return add


def outbox(database):
    with database.reading() as session:
        return list(session.scalars(select(DeliveryRow).order_by(DeliveryRow.created_at)))


def test_enqueue__a_whole_run(engine, database, hook):
    hook(*ALL)
    run_id, _ = engine.submit(name="digits")
    engine.film(run_id)
    written = {row.payload["data"]["seq"]: row for row in outbox(database)}
    told = [event for event in engine.events(run_id) if not event[1].startswith("stage.")]
    assert [(seq, row.type) for seq, row in sorted(written.items())] == told
    assert [kind for _, kind in told] == ["run.queued", "run.running", *["checkpoint"] * 3, "run.succeeded"]
    first, last = written[1].payload, written[max(written)].payload
    assert first["type"] == "run.queued"
    assert first["timestamp"].endswith("+00:00")
    assert first["data"] == {"run_id": run_id, "seq": 1, "status": "queued", "name": "digits"}
    assert last["data"]["status"] == "succeeded"
    checkpoints = [row.payload["data"]["frame"] for row in written.values() if row.type == "checkpoint"]
    assert sorted(checkpoints) == [0, 1, 2]


def test_enqueue__only_subscribed_events(engine, database, hook):
    ends, starts = hook("run.succeeded", "run.failed"), hook("run.running")
    run_id, _ = engine.submit()
    engine.film(run_id)
    assert {(row.webhook_id, row.type) for row in outbox(database)} == {
        (ends, "run.succeeded"),
        (starts, "run.running"),
    }


def test_enqueue__contains_the_error_of_a_failed_run(engine, database, hook):
    hook("run.failed")
    run_id, _ = engine.submit()
    held = engine.claim(run_id, "fine_tune")
    engine.call(failures.fail, held, NotReadyError("why"))
    (row,) = outbox(database)
    assert row.payload["data"]["error"] == NotReadyError("why").describe()


def test_enqueue__not_to_another_tenant_nor_to_the_disabled(engine, database, hook):
    hook("run.queued", tenant="other")
    gone = hook("run.queued")
    engine.submit()
    (attempt,) = engine.call(deliveries.claim, limit=5, lease_seconds=60)
    assert attempt.webhook_id == gone
    engine.call(deliveries.gone, attempt, status=410, error="gone")
    engine.submit(seed=1)
    assert len(outbox(database)) == 1


def test_enqueue__is_undone_with_the_event(engine, database, hook):
    hook("run.cancelled")
    run_id, _ = engine.submit()

    def half_done():
        with database.writing() as session:
            runs.cancel(session, run_id)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert outbox(database) == []
    assert engine.run(run_id).status == "queued"


def test_enqueue__without_webhooks_one_query_an_event(engine, database):
    run_id, _ = engine.submit()
    asked = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    engine.call(runs.cancel, run_id)
    assert len([statement for statement in asked if "FROM webhooks" in statement]) == 1
    with database.reading() as session:
        assert session.scalars(select(EventRow.type).where(EventRow.seq == 2)).one() == "run.cancelled"
