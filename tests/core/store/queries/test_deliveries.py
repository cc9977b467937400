from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from core.errors import ConflictError, NotFoundError
from core.store.database.tables import DeliveryRow, WebhookRow
from core.store.queries import deliveries, webhooks

TENANT = "one"


@pytest.fixture
def hook(engine):
    def add():
        row = engine.call(webhooks.add, tenant=TENANT, url="https://example.com/", secret="s", events=["run.failed"])
        return row.id

    return add


@pytest.fixture
def queue(engine):
    def add(webhook_id, count=1):
        return [engine.call(webhooks.add_test, webhook_id, tenant=TENANT).id for _ in range(count)]

    return add


@pytest.fixture
def claim(engine):
    def take(*, limit=10, busy=()):
        return engine.call(deliveries.claim, limit=limit, lease_seconds=60, busy=busy)

    return take


def row(engine, delivery_id):
    with engine.database.reading() as session:
        return session.get(DeliveryRow, delivery_id)


def make_due(engine):
    """End all pauses and leases."""
    with engine.database.writing() as session:
        session.execute(update(DeliveryRow).where(DeliveryRow.next_at.is_not(None)).values(next_at=1.0))


def test_claim__the_oldest_of_each_webhook_once(engine, hook, queue, claim):
    one, two = hook(), hook()
    oldest = [min(queue(one, 3)), min(queue(two, 3))]
    claimed = claim()
    assert sorted(attempt.delivery_id for attempt in claimed) == sorted(oldest)
    assert {(attempt.number, attempt.failures) for attempt in claimed} == {(1, 0)}
    assert claimed[0].payload["type"] == "webhook.test"
    further = claim()
    assert not {attempt.delivery_id for attempt in further} & set(oldest)
    assert len(further) == 2


def test_claim__at_most_the_requested_number_and_none_in_progress(hook, queue, claim):
    hooks = [hook() for _ in range(4)]
    for webhook_id in hooks:
        queue(webhook_id)
    assert len(claim(limit=1)) == 1
    assert {attempt.webhook_id for attempt in claim(busy=hooks[:3])} <= {hooks[3]}


def test_claim__by_many_at_once(engine, hook, queue):
    expected = sorted(delivery for _ in range(10) for delivery in queue(hook(), 4))
    taken = []

    def work(_):
        mine = []
        while engine.call(deliveries.awaited):
            mine += engine.call(deliveries.claim, limit=3, lease_seconds=600)
        return [attempt.delivery_id for attempt in mine]

    with ThreadPoolExecutor(4) as pool:
        for mine in pool.map(work, range(4)):
            taken += mine
    assert sorted(taken) == expected


def test_claim__again_when_the_lease_is_over(engine, hook, queue, claim):
    (delivery,) = queue(hook())
    assert claim()
    assert claim() == []
    make_due(engine)
    (attempt,) = claim()
    assert (attempt.delivery_id, attempt.number) == (delivery, 2)


def test_awaited(engine, hook, queue, claim):
    assert not engine.call(deliveries.awaited)
    webhook_id = hook()
    queue(webhook_id)
    assert engine.call(deliveries.awaited)
    assert not engine.call(deliveries.awaited, busy=[webhook_id])
    claim()
    assert not engine.call(deliveries.awaited)


def test_delivered(engine, hook, queue, claim):
    (delivery,) = queue(hook())
    (attempt,) = claim()
    engine.call(deliveries.delivered, attempt, status=204)
    found = row(engine, delivery)
    assert (found.status, found.last_status, found.next_at, found.last_error) == ("delivered", 204, None, None)
    assert found.delivered_at is not None
    make_due(engine)
    assert claim() == []


def test_failed__is_due_after_the_pause_or_given_up(engine, hook, queue, claim):
    (delivery,) = queue(hook())
    (attempt,) = claim()
    engine.call(deliveries.failed, attempt, status=500, error="It answered 500.", pause=1000)
    found = row(engine, delivery)
    assert (found.status, found.failures) == ("pending", 1)
    assert (found.last_status, found.last_error) == (500, "It answered 500.")
    assert 900 < found.next_at - found.created_at < 1100
    make_due(engine)
    (attempt,) = claim()
    assert (attempt.number, attempt.failures) == (2, 1)
    engine.call(deliveries.failed, attempt, status=None, error="away", pause=None)
    found = row(engine, delivery)
    assert (found.status, found.next_at, found.last_status, found.last_error) == ("failed", None, None, "away")


def test_settle__a_stale_attempt_writes_nothing(engine, hook, queue, claim):
    (delivery,) = queue(hook())
    (stale,) = claim()
    make_due(engine)
    (newest,) = claim()
    engine.call(deliveries.delivered, stale, status=200)
    engine.call(deliveries.failed, stale, status=500, error="stale", pause=None)
    assert row(engine, delivery).status == "pending"
    engine.call(deliveries.delivered, newest, status=200)
    assert row(engine, delivery).status == "delivered"


def test_gone__disables_the_webhook_and_its_deliveries(engine, hook, queue, claim):
    webhook_id, other = hook(), hook()
    waiting, untouched = queue(webhook_id, 3), queue(other)
    attempt = next(attempt for attempt in claim() if attempt.webhook_id == webhook_id)
    engine.call(deliveries.gone, attempt, status=410, error="It answered 410.")
    for delivery in waiting:
        found = row(engine, delivery)
        assert (found.status, found.last_error, found.next_at) == ("failed", "It answered 410.", None)
    assert row(engine, attempt.delivery_id).last_status == 410
    assert row(engine, untouched[0]).status == "pending"
    with engine.database.reading() as session:
        disabled = {webhook.id: webhook.disabled_at for webhook in session.scalars(select(WebhookRow))}
    assert disabled[webhook_id] is not None
    assert disabled[other] is None
    with pytest.raises(ConflictError):
        engine.call(deliveries.redeliver, webhook_id, waiting[0], tenant=TENANT)


def test_redeliver__resets_the_delivery(engine, hook, queue, claim):
    webhook_id = hook()
    (delivery,) = queue(webhook_id)
    (attempt,) = claim()
    engine.call(deliveries.failed, attempt, status=500, error="500", pause=None)
    engine.call(deliveries.redeliver, webhook_id, delivery, tenant=TENANT)
    (attempt,) = claim()
    assert (attempt.delivery_id, attempt.number, attempt.failures) == (delivery, 2, 0)
    engine.call(deliveries.delivered, attempt, status=200)
    engine.call(deliveries.redeliver, webhook_id, delivery, tenant=TENANT)
    found = row(engine, delivery)
    assert (found.status, found.delivered_at, found.forget_at) == ("pending", None, None)
    assert len(claim()) == 1


def test_redeliver__an_attempt_in_progress_does_not_end_it(engine, hook, queue, claim):
    webhook_id = hook()
    (delivery,) = queue(webhook_id)
    engine.call(deliveries.failed, claim()[0], status=500, error="500", pause=0)
    (attempt,) = claim()
    engine.call(deliveries.redeliver, webhook_id, delivery, tenant=TENANT)
    engine.call(deliveries.failed, attempt, status=500, error="500", pause=None)
    assert row(engine, delivery).status == "pending"


def test_redeliver__nothing_there(engine, hook, queue):
    one, two = hook(), hook()
    (delivery,) = queue(one)
    for webhook_id, delivery_id, tenant in ((two, delivery, TENANT), (one, "dlv_none", TENANT), (one, delivery, "two")):
        with pytest.raises(NotFoundError):
            engine.call(deliveries.redeliver, webhook_id, delivery_id, tenant=tenant)


def test_page(engine, hook, queue):
    webhook_id = hook()
    ids = sorted(queue(webhook_id, 5), reverse=True)
    queue(hook())

    def page(before, limit):
        rows = engine.call(deliveries.page, webhook_id, tenant=TENANT, before=before, limit=limit)
        return [found.id for found in rows]

    assert page(None, 2) == ids[:2]
    assert page(ids[1], 10) == ids[2:]


def test_forget(engine, hook, queue, claim):
    webhook_id = hook()
    queue(webhook_id, 3)
    (first,), (second,) = claim(), claim()
    engine.call(deliveries.delivered, first, status=200)
    engine.call(deliveries.failed, second, status=500, error="500", pause=None)
    kept = {first.delivery_id: 7 * 86400, second.delivery_id: 30 * 86400}
    for delivery_id, seconds in kept.items():
        found = row(engine, delivery_id)
        assert abs(found.forget_at - found.created_at - seconds) < 600
    engine.call(deliveries.forget)
    assert len(engine.call(deliveries.page, webhook_id, tenant=TENANT, before=None, limit=9)) == 3
    with engine.database.writing() as session:
        session.execute(update(DeliveryRow).where(DeliveryRow.id == first.delivery_id).values(forget_at=1.0))
    engine.call(deliveries.forget)
    left = {found.id for found in engine.call(deliveries.page, webhook_id, tenant=TENANT, before=None, limit=9)}
    assert first.delivery_id not in left
    assert len(left) == 2
