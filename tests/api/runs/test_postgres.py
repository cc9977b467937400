"""Tests that need a database with several writers."""

from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import pytest

from core.store.objects.stored import Stored
from core.store.queries import datasets

pytestmark = pytest.mark.services


@pytest.fixture
def on_servers(serve, postgres_url, redis_url):
    return serve(database_url=postgres_url, broker_url=redis_url)


def test_one_run_a_key(on_servers, small):
    def post(_):
        return on_servers.post("/v1/runs", json=small, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(post, range(16)))
    made = [response.json()["id"] for response in responses if response.status_code == 202]
    refused = {response.json()["type"] for response in responses if response.status_code != 202}
    assert len(set(made)) == 1
    assert refused <= {"/problems/idempotency-in-flight"}
    assert len(on_servers.get("/v1/runs").json()["runs"]) == 1


def test_one_run_a_key__also_where_it_takes_the_last_place(serve, postgres_url, small):
    client = serve(database_url=postgres_url, max_runs_in_flight=1)

    def post(_):
        return client.post("/v1/runs", json=small, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(post, range(16)))
    assert {response.status_code for response in responses} <= {202, 409}
    accepted = [response for response in responses if response.status_code == 202]
    assert len({response.json()["id"] for response in accepted}) == 1


def test_characters_that_postgresql_refuses(on_servers, problem):
    problem(on_servers.get("/v1/runs/run_%00"), 404, "not-found")
    problem(on_servers.get("/v1/datasets/ds_%00"), 404, "not-found")
    problem(on_servers.get("/v1/runs?cursor=%00"), 422, "invalid-spec", "cursor")
    for body in ({"dataset": "\x00"}, {"dataset": "ds_\x00"}):
        problem(on_servers.post("/v1/runs", json=body), 422, "unknown-dataset", "dataset")


def test_polling__a_run_with_its_options(on_servers, small, monkeypatch):
    run = on_servers.post("/v1/runs", json=small).json()
    assert [stage["progress"]["total"] for stage in run["stages"]] == [0, 3, 0, 0, 0, 0]
    assert on_servers.get("/v1/runs").json()["runs"][0]["plan"]["steps"] == [0, 5, 10]
    assert on_servers.get(run["links"]["events"]).json()["last"] == 1
    assert on_servers.post(run["links"]["cancel"]).json()["status"] == "cancelled"
    assert on_servers.delete(run["links"]["self"]).status_code == 204


@pytest.fixture
def dataset(on_servers):
    report = {"digest": "d", "class_names": ["cat", "dog"], "train_size": 40, "evaluation_size": 10}
    with on_servers.app.state.process.database.writing() as session:
        return datasets.add(
            session, "ds_" + "1" * 26, tenant="default", name="pets", report=report, stored=Stored("datasets/x", {})
        ).id


def answered_while(client, address, body, *, deleting):
    """Return the answer to a POST that arrives during a transaction that may delete the dataset and then commits."""
    with ThreadPoolExecutor(1) as pool:
        with client.app.state.process.database.writing() as session:
            deleting(session)
            session.flush()
            asked = pool.submit(client.post, address, json=body)
            wait([asked], timeout=0.5)
            assert not asked.done(), "it waits for the commit"
        return asked.result()


def test_submit__not_on_a_dataset_that_is_being_deleted(on_servers, dataset, problem):
    delete = partial(datasets.remove, dataset_id=dataset, tenant="default")
    answer = answered_while(on_servers, "/v1/runs", {"dataset": dataset}, deleting=delete)
    problem(answer, 422, "unknown-dataset", "dataset")
    assert on_servers.get("/v1/runs").json()["runs"] == []


def test_retry__not_while_the_dataset_may_be_deleted(on_servers, dataset):
    run = on_servers.post("/v1/runs", json={"dataset": dataset}).json()
    on_servers.post(run["links"]["cancel"])
    hold = partial(datasets.get, dataset_id=dataset, tenant="default", hold="to_delete")
    assert answered_while(on_servers, run["links"]["retry"], None, deleting=hold).status_code == 202
