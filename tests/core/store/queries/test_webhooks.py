from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import ConflictError, NotFoundError
from core.store.queries import deliveries, webhooks

EVENTS = ["run.succeeded"]


@pytest.fixture
def add(engine):
    def write(tenant="one"):
        return engine.call(webhooks.add, tenant=tenant, url="https://example.com/", secret="whsec_", events=EVENTS)

    return write


def test_every__newest_first_and_only_ones_own(engine, add):
    ids = [add().id for _ in range(3)]
    add("two")
    found = [row.id for row in engine.call(webhooks.every, tenant="one")]
    assert found == sorted(ids, reverse=True)


def test_get__of_another_tenant(engine, add):
    row = add()
    assert engine.call(webhooks.get, row.id, tenant="one").url == "https://example.com/"
    for function in (webhooks.get, webhooks.remove, webhooks.add_test):
        with pytest.raises(NotFoundError):
            engine.call(function, row.id, tenant="two")
    with pytest.raises(NotFoundError):
        engine.call(deliveries.page, row.id, tenant="two", before=None, limit=5)


def test_add__at_most_the_limit(engine, add):
    def attempt(_):
        try:
            return add()
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(attempt, range(webhooks.MOST + 3)))
    refused = [error for error in written if isinstance(error, ConflictError)]
    assert len(refused) == 3
    assert "there may be 20" in refused[0].detail
    assert len(engine.call(webhooks.every, tenant="one")) == webhooks.MOST
    add("two")


def test_remove__takes_its_deliveries_along(engine, add):
    row, other = add(), add()
    for webhook in (row, other):
        engine.call(webhooks.add_test, webhook.id, tenant="one")
    engine.call(webhooks.remove, row.id, tenant="one")
    claimed = engine.call(deliveries.claim, limit=5, lease_seconds=60)
    assert [attempt.webhook_id for attempt in claimed] == [other.id]


def test_add_test__refused_by_a_disabled_one(engine, add):
    row = add()
    engine.call(webhooks.add_test, row.id, tenant="one")
    (attempt,) = engine.call(deliveries.claim, limit=5, lease_seconds=60)
    engine.call(deliveries.gone, attempt, status=410, error="gone")
    with pytest.raises(ConflictError, match="410"):
        engine.call(webhooks.add_test, row.id, tenant="one")
