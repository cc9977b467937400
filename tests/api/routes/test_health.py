import inspect

import pytest
from sqlalchemy.exc import OperationalError

from api import errors


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
    objects = parts.settings.artifacts / "objects"
    objects.rmdir()
    objects.write_text("in the way")
    problem(client.get("/readyz"), 503, "storage-unavailable")


def test_problems__every_type_is_explained(idle):
    for kind in errors.known():
        page = idle.get(f"/problems/{kind.type}").json()
        assert page == {
            "type": f"/problems/{kind.type}",
            "title": kind.title,
            "status": errors.STATUS[kind],
            "description": inspect.getdoc(kind),
        }


def test_problems__unknown(idle, problem):
    problem(idle.get("/problems/nonsense"), 404, "not-found")
