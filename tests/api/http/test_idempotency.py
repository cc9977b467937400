import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.http.errors import InFlightError
from api.http.idempotency import Asked, InFlight
from api.runs.schemas import RunCreate
from core.store.queries import runs

KEY = {"Idempotency-Key": "one"}


@pytest.fixture
def held(monkeypatch):
    """Requests wait inside the transaction that creates their run, until the test releases them."""
    inside, go_on = threading.Event(), threading.Event()
    accept = runs.accept

    def slowly(*args, **options):
        inside.set()
        assert go_on.wait(60)
        return accept(*args, **options)

    monkeypatch.setattr(runs, "accept", slowly)
    yield inside, go_on
    go_on.set()


def test_submit__same_key_and_body(client, small):
    headers = {"Idempotency-Key": "one"}
    first, second = (client.post("/v1/runs", json=small, headers=headers) for _ in range(2))
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["location"] == first.headers["location"]
    assert len(client.get("/v1/runs").json()["runs"]) == 1


def test_submit__other_body(client, small, problem):
    headers = {"Idempotency-Key": "one"}
    client.post("/v1/runs", json=small, headers=headers)
    other = client.post("/v1/runs", json=small | {"name": "other"}, headers=headers)
    problem(other, 422, "invalid-spec", "Idempotency-Key")


@pytest.mark.parametrize("key", ["", "x" * 256, "with space"])
def test_submit__unusable_key(idle, small, problem, key):
    problem(idle.post("/v1/runs", json=small, headers={"Idempotency-Key": key}), 422, "invalid-spec", "idempotency-key")


def test_submit__key_of_a_deleted_run_is_free_again(client, small):
    headers = {"Idempotency-Key": "one"}
    run = client.post("/v1/runs", json=small, headers=headers).json()
    client.post(run["links"]["cancel"])
    assert client.delete(run["links"]["self"]).status_code == 204
    assert client.post("/v1/runs", json=small, headers=headers).json()["id"] != run["id"]


def test_in_flight__is_refused_at_once_and_then_replayed(client, small, problem, held):
    inside, go_on = held
    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(client.post, "/v1/runs", json=small, headers=KEY)
        assert inside.wait(60)
        refused = client.post("/v1/runs", json=small, headers=KEY)
        problem(refused, 409, "idempotency-in-flight")
        assert refused.headers["retry-after"] == "1"
        go_on.set()
        first = posting.result()
    again = client.post("/v1/runs", json=small, headers=KEY)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(client.get("/v1/runs").json()["runs"]) == 1


def test_in_flight__a_key_that_failed_is_free_again(client, small, problem):
    problem(client.post("/v1/runs", json=small | {"dataset": "none"}, headers=KEY), 422, "unknown-dataset", "dataset")
    assert client.post("/v1/runs", json=small, headers=KEY).status_code == 202


def test_in_flight__requests_with_other_keys_or_none_do_not_wait():
    in_flight = InFlight()
    one, other, none = (("lab", key) for key in ("one", "other", None))
    with in_flight.exclusive(*one), in_flight.exclusive(*other), in_flight.exclusive(*none), in_flight.exclusive(*none):
        with pytest.raises(InFlightError, match="again"), in_flight.exclusive(*one):
            pass
        with pytest.raises(InFlightError), in_flight.exclusive(*one):
            pass
    with in_flight.exclusive(*one):
        pass


def test_claim__in_another_process(database, small):
    """Both databases accept one request. PostgreSQL refuses the second one at once. SQLite lets it wait, and it then
    reads the recorded answer.
    """
    asked = Asked.of("lab", "one", "runs", RunCreate(**small))
    if database.sqlite:
        with database.writing() as session:
            assert asked.claim(session) is None
            asked.remember(session, "run_1")
        with database.writing() as session:
            assert asked.claim(session) == "run_1"
        return
    with database.writing() as session:
        assert asked.claim(session) is None
        asked.remember(session, "run_1")
        with pytest.raises(InFlightError), database.writing() as other:
            asked.claim(other)
    with database.writing() as session:
        assert asked.claim(session) == "run_1"


def test_claim__of_a_killed_process_is_free_again(database, small):
    asked = Asked.of("lab", "one", "runs", RunCreate(**small))

    def killed():
        with database.writing() as session:
            assert asked.claim(session) is None
            asked.remember(session, "run_1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        killed()
    with database.writing() as session:
        assert asked.claim(session) is None
