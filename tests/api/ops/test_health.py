import pytest
from sqlalchemy.exc import OperationalError


def test_livez(idle):
    assert idle.get("/livez").json() == {"status": "ok"}


def test_readyz__tells_of_workers(client, worker):
    assert client.get("/readyz").json()["workers"] == 0
    worker.beat("gpu", "cpu")
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert (ready.json()["workers"], ready.json()["queues"]) == (1, ["cpu", "gpu"])


@pytest.mark.parametrize("address", ["/readyz", "/v1/runs", "/v1/datasets", "/v1/models", "/v1/runs/run_" + "0" * 26])
def test_database_away(client, parts, problem, monkeypatch, address):
    def away(*args, **options):
        raise OperationalError("SELECT", {}, Exception("no route to host"))

    monkeypatch.setattr(parts.database.engine, "connect", away)
    response = client.get(address)
    problem(response, 503, "storage-unavailable")
    assert response.headers["retry-after"] == "5"
    assert client.get("/livez").status_code == 200


def test_database_away__post(client, parts, problem, small, monkeypatch):
    def away(*args, **options):
        raise OperationalError("SELECT", {}, Exception("no route to host"))

    with monkeypatch.context() as patched:
        patched.setattr(parts.database.engine, "connect", away)
        problem(client.post("/v1/runs", json=small), 503, "storage-unavailable")
    assert client.get("/v1/runs").json()["runs"] == []


def test_store_away(client, parts, problem):
    objects = parts.store.scratch / "objects"
    objects.rmdir()
    objects.write_text("in the way")
    problem(client.get("/readyz"), 503, "storage-unavailable")


def test_index__leads_on(idle):
    links = idle.get("/").json()["links"]
    assert {"docs", "openapi", "problems", "runs"} <= set(links)
    for path in links.values():
        assert idle.get(path).status_code == 200


def test_index__is_a_page_for_browsers(idle):
    page = idle.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/docs">' in page.text
