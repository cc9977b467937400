"""API processes that end or are killed while they send webhooks: no delivery is lost or sent twice."""

import os
import signal
import threading
import time

import pytest
from sqlalchemy import update

from core.settings import Settings
from core.store.database.session import Database
from core.store.database.tables import DeliveryRow
from testing.service import Service, free_port
from tests.receiver import receiving

VARIABLES = {"EMBEDREEL_WEBHOOK_ALLOW_PRIVATE": "true", "EMBEDREEL_WEBHOOK_POLL_SECONDS": "0.05"}


@pytest.fixture(scope="module")
def home(pair, tmp_path_factory):
    """The home of all tests on one database, which records its artifact store."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def start(pair, home):
    """Start API processes on one home."""
    started = []

    def another():
        service = Service(home, free_port(), pair | VARIABLES)
        started.append(service)
        service.start_api()
        return service

    yield another
    for service in started:
        service.stop()


def end_leases(service):
    """Make the leases of all deliveries expire."""
    settings = Settings(home=service.home, database_url=service.environment.get("EMBEDREEL_DATABASE_URL"))
    database = Database(settings.database)
    with database.writing() as session:
        session.execute(update(DeliveryRow).where(DeliveryRow.status == "pending").values(next_at=1.0))
    database.close()


def wait_until_delivered(service, webhook, *, count=1, seconds=120):
    deadline = time.monotonic() + seconds
    address = f"/v1/webhooks/{webhook['id']}/deliveries?limit=100"
    while True:
        found = service.json(address)["deliveries"]
        if [one["status"] for one in found] == ["delivered"] * count:
            return found
        assert time.monotonic() < deadline, (found, service.log("api")[-3000:])
        time.sleep(0.1)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_an_api_that_ends_while_it_sends(start, end):
    released = threading.Event()
    with receiving(lambda _: released.wait(120), 200) as receiver:
        service = start()
        webhook = service.post("/v1/webhooks", {"url": receiver.url})
        queued = service.post(f"/v1/webhooks/{webhook['id']}/test")
        receiver.wait(1)
        try:
            os.killpg(service.api.pid, end)
            service.api.wait(60)
            assert not released.is_set(), "it did not wait for the receiver"
        finally:
            released.set()
        service.start_api()
        end_leases(service)
        (shown,) = wait_until_delivered(service, webhook)
        assert {received.id for received in receiver.received} == {queued["id"]}
    assert (shown["id"], shown["attempts"]) == (queued["id"], 2)
    assert "Traceback" not in service.log("api")


def test_two_apis_send_each_once(start):
    with receiving() as receiver:
        one, two = start(), start()
        webhook = one.post("/v1/webhooks", {"url": receiver.url})
        queued = [service.post(f"/v1/webhooks/{webhook['id']}/test")["id"] for service in (one, two) * 15]
        found = wait_until_delivered(one, webhook, count=len(queued))
        received = [request.id for request in receiver.received]
    assert sorted(received) == sorted(queued)
    assert {one["attempts"] for one in found} == {1}
