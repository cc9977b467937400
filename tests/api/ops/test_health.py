import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from sqlalchemy.exc import OperationalError

from api.access.caller import OPERATOR
from api.ops import readiness
from api.ops.readiness import Readiness


def test_livez(idle):
    assert idle.get("/livez").json() == {"status": "ok"}


@pytest.fixture
def asked_each_time(monkeypatch):
    monkeypatch.setattr(readiness, "KEPT_SECONDS", 0.0)


def test_readyz__lists_workers(client, worker, asked_each_time):
    assert client.get("/readyz").json()["workers"] == 0
    worker.beat("gpu", "cpu")
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert (ready.json()["workers"], ready.json()["queues"]) == (1, ["cpu", "gpu"])


@pytest.mark.parametrize("address", ["/readyz", "/v1/runs", "/v1/datasets", "/v1/models", "/v1/runs/run_" + "0" * 26])
def test_database_away(client, process, problem, monkeypatch, address):
    def away(*args, **options):
        raise OperationalError("SELECT", {}, Exception("no route to host"))

    monkeypatch.setattr(process.database.engine, "connect", away)
    response = client.get(address)
    problem(response, 503, "storage-unavailable")
    assert response.headers["retry-after"] == "5"
    assert client.get("/livez").status_code == 200


def test_database_away__post(client, process, problem, small, monkeypatch):
    def away(*args, **options):
        raise OperationalError("SELECT", {}, Exception("no route to host"))

    with monkeypatch.context() as patched:
        patched.setattr(process.database.engine, "connect", away)
        problem(client.post("/v1/runs", json=small), 503, "storage-unavailable")
    assert client.get("/v1/runs").json()["runs"] == []


def test_store_away(client, process, problem):
    objects = process.store.scratch / "objects"
    objects.rmdir()
    objects.write_text("in the way")
    problem(client.get("/readyz"), 503, "storage-unavailable")


def test_readyz__reads_the_database_once_a_second(client, process, monkeypatch):
    reads = []
    monkeypatch.setattr(process.services.of(Readiness, OPERATOR), "_clock", lambda: 1000.0)
    monkeypatch.setattr(process.store, "prepare", lambda: reads.append(None))
    assert {client.get("/readyz").status_code for _ in range(20)} == {200}
    assert len(reads) == 1
    monkeypatch.setattr(process.services.of(Readiness, OPERATOR), "_clock", lambda: 1001.0)
    client.get("/readyz")
    assert len(reads) == 2


def test_readyz__an_error_is_kept_as_long(client, process, problem, monkeypatch):
    monkeypatch.setattr(process.services.of(Readiness, OPERATOR), "_clock", lambda: 1000.0)
    objects = process.store.scratch / "objects"
    objects.rmdir()
    objects.write_text("in the way")
    problem(client.get("/readyz"), 503, "storage-unavailable")
    objects.unlink()
    problem(client.get("/readyz"), 503, "storage-unavailable")
    monkeypatch.setattr(process.services.of(Readiness, OPERATOR), "_clock", lambda: 1001.0)
    assert client.get("/readyz").status_code == 200


def test_readyz__answers_while_all_other_threads_are_busy(client):
    busy, go_on = threading.Event(), threading.Event()

    async def take_all():
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        await anyio.to_thread.run_sync(lambda: (busy.set(), go_on.wait(60)))

    with ThreadPoolExecutor(1) as pool:
        client.portal.start_task_soon(take_all)
        try:
            assert busy.wait(60)
            assert pool.submit(client.get, "/readyz").result(60).status_code == 200
        finally:
            go_on.set()


def test_index__leads_on(idle):
    links = idle.get("/").json()["links"]
    assert {"docs", "openapi", "problems", "runs"} <= set(links)
    for path in links.values():
        assert idle.get(path).status_code == 200


def test_index__is_a_page_for_browsers(idle):
    page = idle.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/docs">' in page.text
