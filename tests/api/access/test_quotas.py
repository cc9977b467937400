"""Requests that are refused before the answer 202. A refusal changes nothing."""

import errno
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from api.access import quotas
from core.data import intake
from core.errors import InsufficientStorageError, TrainingDivergedError
from core.settings import GIB, Settings
from core.store.objects.artifacts import open_store


@pytest.fixture
def post(small):
    def post(client, **headers):
        return client.post("/v1/runs", json=small, headers=headers)

    return post


@pytest.fixture
def nearly_full(monkeypatch):
    def fill(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    return fill


def accepted(client):
    return len(client.get("/v1/runs?limit=100").json()["runs"])


@pytest.mark.parametrize(
    ("setting", "limit", "body", "field"),
    [
        ("max_steps", 99, {"train": {"steps": 100}}, "train.steps"),
        ("max_probe_size", 1500, {"capture": {"probe_size": 1501}}, "capture.probe_size"),
        ("max_film_pixels", 960 * 960 * 60, {"capture": {"frames": 61}}, "render.width"),
        ("max_film_pixels", 960 * 960 * 60, {"render": {"height": 961}}, "render.width"),
    ],
)
def test_spec__too_large(serve, problem, setting, limit, body, field):  # noqa: PLR0917 - fixtures and cases
    client = serve(**{setting: limit})
    dataset = {"dataset": "hub:uoft-cs/cifar10"}
    refused = problem(client.post("/v1/runs", json=dataset | body), 422, "invalid-spec", field)
    assert f"EMBEDREEL_{setting.upper()}" in refused["detail"]
    assert accepted(client) == 0


def test_spec__what_a_run_has_by_default_is_never_too_large(serve):
    client = serve(max_probe_size=1000, max_film_pixels=960 * 960 * 60)
    assert client.post("/v1/runs", json={"dataset": "digits"}).status_code == 202


def test_spec__a_drawing_is_bounded_too(serve, small, problem):
    client = serve(max_film_pixels=960 * 960 * 3)
    run = client.post("/v1/runs", json=small).json()
    larger = client.post(run["links"]["renders"], json={"render": {"width": 1000}})
    problem(larger, 422, "invalid-spec", "render.width")


def test_runs__as_many_as_there_may_be(serve, post, problem):
    client = serve(max_runs_in_flight=2)
    first, second = post(client), post(client)
    refused = post(client)
    assert "2 runs are queued or running" in problem(refused, 429, "quota-exceeded")["detail"]
    assert refused.headers["retry-after"] == str(quotas.RUNS_WAIT_SECONDS)
    assert accepted(client) == 2
    client.post(first.json()["links"]["cancel"])
    assert post(client).status_code == 202
    problem(client.post(first.json()["links"]["retry"]), 429, "quota-exceeded")
    client.post(second.json()["links"]["cancel"])
    assert client.post(first.json()["links"]["retry"]).status_code == 202


def test_runs__drawings_count(serve, small, problem):
    client = serve(max_runs_in_flight=1)
    run = client.post("/v1/runs", json=small).json()
    problem(client.post(run["links"]["renders"], json={}), 429, "quota-exceeded")


def test_runs__a_repeated_request_is_no_new_run(serve, post):
    client = serve(max_runs_in_flight=1)
    first, again = (post(client, **{"Idempotency-Key": "one"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]


def test_runs__any_number(serve, post):
    client = serve(max_runs_in_flight=0)
    assert {post(client).status_code for _ in range(4)} == {202}


def test_runs__of_each_tenant(serve, post):
    client = serve(max_runs_in_flight=1)
    keys = [client.post("/v1/keys", json={"name": "a", "tenant": "a", "scopes": ["admin", "write"]}).json()["key"]]
    body = {"name": "b", "tenant": "b"}
    keys.append(client.post("/v1/keys", json=body, headers={"X-API-Key": keys[0]}).json()["key"])
    answers = [post(client, **{"X-API-Key": key}).status_code for key in (*keys, *keys)]
    assert answers == [202, 202, 429, 429]


def burst(client, post, size):
    with ThreadPoolExecutor(8) as pool:
        return [response.status_code for response in pool.map(lambda _: post(client), range(size))]


def test_runs__a_burst_cannot_pass(serve, post):
    client = serve(max_runs_in_flight=3)
    assert sorted(burst(client, post, 12)) == [202] * 3 + [429] * 9
    assert accepted(client) == 3


@pytest.mark.services
def test_runs__a_burst_cannot_pass_with_several_writers(serve, postgres_url, post):
    client = serve(max_runs_in_flight=3, database_url=postgres_url)
    assert sorted(burst(client, post, 24)) == [202] * 3 + [429] * 21
    assert accepted(client) == 3


@pytest.fixture
def inspected(monkeypatch):
    report = {"digest": "d", "class_names": ["a", "b"], "train_size": 4, "evaluation_size": 4}

    def inspect(source, destination, **options):
        destination.mkdir()
        return report

    monkeypatch.setattr(intake, "inspect_in_subprocess", inspect)


def upload(client):
    return client.post("/v1/datasets", files={"file": ("a.parquet", b"abc")})


def test_datasets__as_many_as_there_may_be(serve, inspected, problem):
    client = serve(max_datasets=1)
    first = upload(client)
    assert first.status_code == 201
    refused = upload(client)
    problem(refused, 429, "quota-exceeded")
    assert "retry-after" not in refused.headers, "waiting does not help"
    assert [path.name for path in (client.app.state.process.store.scratch / "datasets").iterdir()] == [
        first.json()["id"]
    ]
    client.delete(first.headers["location"])
    assert upload(client).status_code == 201


def test_datasets__any_number(serve, inspected):
    client = serve(max_datasets=0)
    assert [upload(client).status_code for _ in range(3)] == [201] * 3


@pytest.mark.services
def test_datasets__a_burst_cannot_pass_with_several_writers(serve, postgres_url, inspected):
    client = serve(max_datasets=2, max_uploads=8, database_url=postgres_url)
    assert sorted(burst(client, upload, 8)) == [201] * 2 + [429] * 6
    assert len(list((client.app.state.process.store.scratch / "datasets").iterdir())) == 2


@pytest.fixture
def failed(submit, worker):
    run = submit(name="fails", train={"steps": 11})
    worker.fail(worker.claim(run["id"]), TrainingDivergedError("NaN"))
    return run


def test_space__nothing_new_is_accepted(client, finished, failed, post, problem, nearly_full):  # noqa: PLR0917
    nearly_full(GIB - 1)
    said = problem(post(client), 507, "insufficient-storage")["detail"]
    assert "1.00 GiB are free" in said
    assert "EMBEDREEL_MIN_FREE_BYTES" in said
    problem(client.post(f"/v1/runs/{finished}/renders", json={}), 507, "insufficient-storage")
    problem(client.post(failed["links"]["retry"]), 507, "insufficient-storage")
    problem(upload(client), 507, "insufficient-storage")
    assert accepted(client) == 2
    assert client.get(failed["links"]["self"]).json()["status"] == "failed"
    assert client.delete(f"/v1/runs/{finished}").status_code == 204, "what makes room goes on"
    nearly_full(GIB)
    assert post(client).status_code == 202


def test_space__a_repeated_request_is_answered(client, post, nearly_full):
    first = post(client, **{"Idempotency-Key": "one"}).json()["id"]
    nearly_full(0)
    assert post(client, **{"Idempotency-Key": "one"}).json()["id"] == first


def test_space__not_measured_without_a_limit(tmp_path, nearly_full):
    nearly_full(0)
    settings = Settings(home=tmp_path)
    with pytest.raises(InsufficientStorageError):
        quotas.check_space(settings, open_store(settings.artifacts, home=tmp_path))
    quotas.check_space(settings.model_copy(update={"min_free_bytes": 0}), open_store("elsewhere", home=tmp_path))
    quotas.check_space(settings, open_store("memory://films", home=tmp_path))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full__a_file_that_cannot_be_written(client, problem, monkeypatch, number):
    def full(*args, **options):
        raise OSError(number, "no room", "/a/secret/path")

    monkeypatch.setattr("core.store.queries.runs.accept", full)
    response = client.post("/v1/runs", json={"dataset": "digits"})
    problem(response, 507, "insufficient-storage")
    assert "secret" not in response.text
    monkeypatch.undo()
    assert accepted(client) == 0


def test_full__other_errors_of_the_system_are_unforeseen(client, problem, monkeypatch):
    def broken(*args, **options):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("core.store.queries.runs.accept", broken)
    problem(client.post("/v1/runs", json={"dataset": "digits"}), 500, "unexpected")


def test_full__an_upload_that_cannot_be_written(client, process, problem, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr("api.datasets.upload._Parts.part_data", full)
    problem(upload(client), 507, "insufficient-storage")
    assert list((process.store.scratch / "datasets").iterdir()) == []
    assert list(process.store.incoming.iterdir()) == []


def test_full__sqlite_cannot_grow(client, process, post, problem):
    engine = process.database.engine
    engine.dispose()

    def bound(connection, record):
        connection.execute("PRAGMA max_page_count = 1")  # it cannot be less than the existing number

    event.listen(engine, "connect", bound)
    answers = [post(client) for _ in range(30)]
    refused = next(answer for answer in answers if answer.status_code != 202)
    assert "The database cannot grow" in problem(refused, 507, "insufficient-storage")["detail"]
    assert accepted(client) == sum(answer.status_code == 202 for answer in answers)
    event.remove(engine, "connect", bound)
    engine.dispose()
    assert post(client).status_code == 202
