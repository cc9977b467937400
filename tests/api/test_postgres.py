"""What only a database with several writers can show."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.services


@pytest.fixture
def on_servers(serve, postgres_url, redis_url):
    return serve(database_url=postgres_url, broker_url=redis_url)


def test_one_run_a_key(on_servers, small):
    def post(_):
        return on_servers.post("/v1/runs", json=small, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(post, range(16)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(on_servers.get("/v1/runs").json()["runs"]) == 1


def test_characters_that_postgresql_refuses(on_servers, problem):
    problem(on_servers.get("/v1/runs/run_%00"), 404, "not-found")
    problem(on_servers.get("/v1/datasets/ds_%00"), 404, "not-found")
    problem(on_servers.get("/v1/runs?cursor=%00"), 422, "invalid-spec", "cursor")
    for body in ({"dataset": "\x00"}, {"dataset": "ds_\x00"}):
        problem(on_servers.post("/v1/runs", json=body), 422, "unknown-dataset", "dataset")


def test_a_run_and_what_is_asked_of_it(on_servers, small, monkeypatch):
    run = on_servers.post("/v1/runs", json=small).json()
    assert [stage["progress"]["total"] for stage in run["stages"]] == [0, 3, 0, 0, 0]
    assert on_servers.get("/v1/runs").json()["runs"][0]["plan"]["steps"] == [0, 5, 10]
    assert on_servers.get(run["links"]["events"]).json()["last"] == 1
    assert on_servers.post(run["links"]["cancel"]).json()["status"] == "cancelled"
    assert on_servers.delete(run["links"]["self"]).status_code == 204
