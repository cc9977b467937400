"""The deliverer on both databases, with real receivers."""

import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import select, update
from standardwebhooks.webhooks import Webhook

from api.webhooks import delivery, signing
from api.webhooks.delivery import Deliverer
from core.errors import NotReadyError, StorageUnavailableError
from core.store.database.tables import DEFAULT_TENANT, DeliveryRow, WebhookRow
from core.store.engine import failures
from core.store.queries import deliveries, webhooks
from tests.core.store.conftest import Engine
from tests.receiver import receiving

EVENTS = ("run.queued", "run.succeeded", "run.failed")


@pytest.fixture
def engine(database):
    return Engine(database)


@pytest.fixture
def secret():
    return signing.new_secret()


@pytest.fixture
def hook(engine, secret):
    """Register a receiver."""

    def add(receiver, events=EVENTS):
        return engine.call(webhooks.add, tenant=DEFAULT_TENANT, url=receiver.url, secret=secret, events=events).id

    return add


@pytest.fixture
def queue(engine):
    """Queue test deliveries for a webhook."""

    def add(webhook_id, count=1):
        return [engine.call(webhooks.add_test, webhook_id, tenant=DEFAULT_TENANT).id for _ in range(count)]

    return add


@contextmanager
def delivering(database, *, allow_private=True, **options):
    deliverer = Deliverer(database, allow_private=allow_private, poll_seconds=0.02, **options)
    deliverer.start()
    try:
        yield deliverer
    finally:
        deliverer.stop()
        for thread in (deliverer._thread, *list(deliverer._sending.values())):  # noqa: SLF001
            thread.join(60)  # two seconds may be too short on a busy machine


def rows(database):
    with database.reading() as session:
        return list(session.scalars(select(DeliveryRow).order_by(DeliveryRow.id)))


def wait(database, *, until, seconds=60):
    deadline = time.monotonic() + seconds
    while not until(found := rows(database)):
        assert time.monotonic() < deadline, [(row.status, row.attempts, row.last_error) for row in found]
        time.sleep(0.02)
    return found


def ended(found):
    return all(row.status != "pending" for row in found)


def test_deliver__what_the_receiver_can_check(database, engine, hook, secret):
    with receiving(200) as receiver, delivering(database):
        hook(receiver)
        run_id, _ = engine.submit(name="Bücher")
        engine.film(run_id)
        received = receiver.wait(2)
        (queued, succeeded) = wait(database, until=ended)
    told = {request.json["type"]: request for request in received}
    for request in received:
        assert Webhook(secret).verify(request.body, request.headers)["type"] in EVENTS
        assert request.headers["content-type"] == "application/json"
        assert request.path == "/hook"
    assert {request.id for request in received} == {queued.id, succeeded.id}
    data = told["run.succeeded"].json["data"]
    assert (data["run_id"], data["status"], data["name"]) == (run_id, "succeeded", "Bücher")
    assert data["links"]["film"] == f"/v1/runs/{run_id}/film.gif"
    assert told["run.queued"].json["data"]["links"]["film"] is None
    assert told["run.queued"].json["data"]["seq"] == 1
    assert {(row.status, row.attempts, row.last_status) for row in (queued, succeeded)} == {("delivered", 1, 200)}


def test_deliver__a_failure_as_the_rest_of_the_api_shows_it(database, engine, hook):
    with receiving() as receiver, delivering(database):
        hook(receiver, ["run.failed"])
        run_id, _ = engine.submit()
        engine.call(failures.fail, engine.claim(run_id, "fine_tune"), NotReadyError("why"))
        (received,) = receiver.wait(1)
    assert received.json["data"]["error"]["type"] == "/problems/not-ready"
    assert received.json["data"]["error"]["detail"] == "why"


def test_deliver__tries_again_until_it_is_taken(database, hook, queue, secret):
    with receiving(500, 302, 404, 204) as receiver:
        queue(hook(receiver))
        with delivering(database, pauses=[0.05] * 5):
            (row,) = wait(database, until=ended)
        received = receiver.received
    assert (row.status, row.attempts, row.last_status, row.last_error) == ("delivered", 4, 204, None)
    assert len({request.id for request in received}) == 1
    assert len({request.body for request in received}) == 1
    for request in received:
        Webhook(secret).verify(request.body, request.headers)


def test_deliver__gives_up_and_is_redelivered(database, engine, hook, queue):
    with receiving(500) as receiver:
        webhook_id = hook(receiver)
        (delivery_id,) = queue(webhook_id)
        with delivering(database, pauses=[0.05, 0.05]):
            (row,) = wait(database, until=ended)
            assert (row.status, row.attempts, row.last_error) == ("failed", 3, "The receiver answered 500, not 2xx.")
            receiver.answers[:] = [500, 200]
            engine.call(deliveries.redeliver, webhook_id, delivery_id, tenant=DEFAULT_TENANT)
            (row,) = wait(database, until=ended)
    assert (row.status, row.attempts) == ("delivered", 5)
    assert {request.id for request in receiver.received} == {delivery_id}


def test_deliver__gone(database, engine, hook, queue):
    with receiving(410) as receiver:
        webhook_id = hook(receiver)
        queue(webhook_id, 3)
        with delivering(database):
            found = wait(database, until=ended)
            engine.submit()
    assert {(row.status, row.last_error) for row in found} == {("failed", "The receiver answered 410, not 2xx.")}
    assert len(receiver.received) == 1
    assert len(rows(database)) == 3, "nothing more is written for it"
    with database.reading() as session:
        assert session.get(WebhookRow, webhook_id).disabled_at is not None


@pytest.mark.parametrize("case", [(503, "250", 250), (429, "9999", 300), (500, "250", 10)])
def test_deliver__retry_after(database, hook, queue, case):
    status, header, pause = case
    with receiving(status, Retry_After=header) as receiver:
        queue(hook(receiver))
        with delivering(database, pauses=[10, 300]):
            before = time.time()
            (row,) = wait(database, until=lambda found: found[0].failures)
            after = time.time()
    assert before + pause - 5 <= row.next_at <= after + pause * (1 + delivery.JITTER) + 5


def test_deliver__two_deliverers_send_each_once(database, hook, queue):
    with receiving() as one, receiving() as two:
        for receiver in (one, two):
            queue(hook(receiver), 20)
        with delivering(database), delivering(database), delivering(database):
            found = wait(database, until=ended)
        received = [request.id for request in one.received + two.received]
    assert {(row.status, row.attempts) for row in found} == {("delivered", 1)}
    assert sorted(received) == sorted(row.id for row in found)


def test_deliver__a_slow_receiver_stops_no_other(database, hook, queue):
    released = threading.Event()

    def slow(handler):
        released.wait(60)

    with receiving(slow) as stuck, receiving() as quick:
        stuck_id = hook(stuck)
        queue(stuck_id, 30)
        queue(hook(quick), 5)
        with delivering(database):
            try:
                quick.wait(5)
                stuck.wait(1)
                assert {row.status for row in rows(database) if row.webhook_id == stuck_id} == {"pending"}
                assert len(stuck.received) < 5, "one at a time"
            finally:
                released.set()


def test_deliver__a_process_that_died_loses_nothing(database, engine, hook, queue):
    with receiving() as receiver:
        (delivery_id,) = queue(hook(receiver))
        assert engine.call(deliveries.claim, limit=1, lease_seconds=1000), "by a process that then dies"
        with delivering(database):
            time.sleep(0.3)
            assert receiver.received == [], "the lease holds"
            with database.writing() as session:
                session.execute(update(DeliveryRow).values(next_at=1.0))
            (row,) = wait(database, until=ended)
    assert (row.id, row.status, row.attempts) == (delivery_id, "delivered", 2)


def test_deliver__what_was_pending_before_the_start(database, engine, hook, queue):
    with receiving(500, 200) as receiver:
        queue(hook(receiver))
        with delivering(database, pauses=[0.1] * 3):
            receiver.wait(1)
        with delivering(database, pauses=[0.1] * 3):
            (row,) = wait(database, until=ended)
    assert row.status == "delivered"
    assert row.attempts == len(receiver.received)


def test_deliver__the_target_is_checked_again(database, hook, queue):
    with receiving() as receiver:
        queue(hook(receiver))
        with delivering(database, allow_private=False, pauses=[]):
            (row,) = wait(database, until=ended)
        assert receiver.received == []
    assert (row.status, row.last_status) == ("failed", None)
    assert "https" in row.last_error


def test_deliver__its_own_fault_is_an_attempt_like_others(database, hook, queue, monkeypatch, caplog):
    def broken(*args, **options):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(delivery, "message", broken)
    with receiving() as receiver:
        queue(hook(receiver))
        with delivering(database, pauses=[]):
            (row,) = wait(database, until=ended)
    assert row.last_error == "This service failed to send the delivery. Its log has the details."
    assert "a secret" in caplog.text


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), ZeroDivisionError("unforeseen")])
def test_work__continues_after_an_error(database, hook, queue, monkeypatch, caplog, error):  # noqa: PLR0917 - fixtures
    ask, asked = deliveries.awaited, []

    def once(session, **options):
        asked.append(1)
        if len(asked) == 1:
            raise error
        return ask(session, **options)

    monkeypatch.setattr(deliveries, "awaited", once)
    with receiving() as receiver:
        queue(hook(receiver))
        with delivering(database):
            wait(database, until=ended)
    assert str(error) in caplog.text


def test_stop__does_not_wait_for_a_receiver(database, hook, queue):
    released = threading.Event()
    with receiving(lambda _: released.wait(60)) as receiver:
        queue(hook(receiver))
        try:
            with delivering(database) as deliverer:
                receiver.wait(1)
                deliverer.stop()
                (row,) = rows(database)
                assert row.status == "pending", "it is sent again when its lease is over"
                released.set()
                deliverer.stop()
                (row,) = rows(database)
                assert (row.status, row.failures) == ("pending", 0), "the database may be closed: nothing is written"
        finally:
            released.set()
