import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.access.caller import OPERATOR
from api.runs import events, polling
from api.runs.service import RunService
from core.errors import StorageUnavailableError, TrainingDivergedError


def parse(text):
    """Return (id, event, data) of each server-sent event, without comments and the retry hint."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(polling, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(events, "AWAY_SECONDS", 0.02)


def test_events__in_order_without_gaps(gallery, exhibit):
    body = gallery.get(f"/v1/runs/{exhibit}/events").json()
    types = [event["type"] for event in body["events"]]
    assert [event["seq"] for event in body["events"]] == list(range(1, len(types) + 1))
    assert body["last"] == len(types)
    assert (types[0], types[-1]) == ("run.queued", "run.succeeded")
    assert types.count("checkpoint") == 3
    checkpoint = next(event for event in body["events"] if event["type"] == "checkpoint")
    assert checkpoint["data"] == {"frame": 0, "step": 0, "epoch": 0.0, "loss": 2.5, "accuracy": 0.5}


def test_events__after_and_limit(gallery, exhibit):
    address = f"/v1/runs/{exhibit}/events"
    body = gallery.get(address, params={"after": 2, "limit": 3}).json()
    assert [event["seq"] for event in body["events"]] == [3, 4, 5]
    assert gallery.get(address, params={"after": 1000}).json() == {"events": [], "last": 1000}


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=99999999999999999999", "limit=0", "limit=1001"])
def test_events__refused(client, submit, problem, query):
    problem(client.get(f"{submit()['links']['events']}?{query}"), 422, "invalid-spec", query.partition("=")[0])


def test_stream__of_an_ended_run(gallery, exhibit):
    response = gallery.get(f"/v1/runs/{exhibit}/stream")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.text.startswith("retry: 2000\n\n")
    streamed = parse(response.text)
    listed = gallery.get(f"/v1/runs/{exhibit}/events").json()["events"]
    assert [data for _, _, data in streamed] == listed
    assert [(seq, kind) for seq, kind, _ in streamed] == [(event["seq"], event["type"]) for event in listed]


def test_stream__resumes_after_last_event_id(gallery, exhibit):
    response = gallery.get(f"/v1/runs/{exhibit}/stream", headers={"Last-Event-ID": "4"})
    assert parse(response.text)[0][0] == 5


def test_stream__nothing_left_is_204(gallery, exhibit):
    last = gallery.get(f"/v1/runs/{exhibit}/events").json()["last"]
    response = gallery.get(f"/v1/runs/{exhibit}/stream", headers={"Last-Event-ID": str(last)})
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("value", ["x", "-1", "99999999999999999999"])
def test_stream__unusable_last_event_id(client, submit, problem, value):
    response = client.get(submit()["links"]["stream"], headers={"Last-Event-ID": value})
    problem(response, 422, "invalid-spec", "last-event-id")


def test_stream__follows_a_run_to_its_end(client, submit, worker, quick, monkeypatch):
    monkeypatch.setattr(events, "BATCH", 2)
    monkeypatch.setattr(events, "PING_SECONDS", 0.0)
    run = submit()

    def work():
        time.sleep(0.1)
        worker.work(run["id"])

    thread = threading.Thread(target=work)
    thread.start()
    response = client.get(run["links"]["stream"])
    thread.join()
    streamed = parse(response.text)
    assert [seq for seq, _, _ in streamed] == list(range(1, len(streamed) + 1))
    assert streamed[-1][1] == "run.succeeded"
    assert ": ping\n\n" in response.text


def test_stream__continues_after_a_retry(client, submit, worker, quick):
    run = submit()
    worker.fail(worker.claim(run["id"]), TrainingDivergedError("NaN"))
    client.post(run["links"]["retry"])
    thread = threading.Thread(target=worker.work, args=[run["id"]])
    thread.start()
    kinds = [kind for _, kind, _ in parse(client.get(run["links"]["stream"]).text)]
    thread.join()
    assert kinds.count("run.failed") == 1
    assert kinds[-1] == "run.succeeded"


def test_stream__survives_an_unavailable_database(client, submit, worker, quick, monkeypatch):
    run = submit()
    read_events, failures = events.read_events, iter([False, True, True])

    def sometimes(*args, **options):
        if next(failures, False):
            raise StorageUnavailableError("away")
        return read_events(*args, **options)

    monkeypatch.setattr(events, "read_events", sometimes)
    thread = threading.Thread(target=worker.work, args=[run["id"]])
    thread.start()
    streamed = parse(client.get(run["links"]["stream"]).text)
    thread.join()
    assert streamed[-1][1] == "run.succeeded"


def test_stream__ends_when_the_run_is_deleted(client, process, submit, quick, monkeypatch):
    run = submit()
    read_events, calls = events.read_events, []

    def then_delete(*args, **options):
        if calls:
            process.services.of(RunService, OPERATOR).cancel(run["id"])
            process.services.of(RunService, OPERATOR).remove(run["id"])
        calls.append(1)
        return read_events(*args, **options)

    monkeypatch.setattr(events, "read_events", then_delete)
    monkeypatch.setattr(events, "PING_SECONDS", 0.1)
    assert [kind for _, kind, _ in parse(client.get(run["links"]["stream"]).text)] == ["run.queued"]


def test_stream__a_hundred_at_once_miss_nothing(client, submit, worker, quick):
    """The streams are read one by one in one thread. No stream waits for the client of another."""
    submitted = [submit(train={"steps": 10, "seed": seed}) for seed in range(4)]
    with ThreadPoolExecutor(100) as pool:
        answers = [pool.submit(client.get, submitted[index % 4]["links"]["stream"]) for index in range(100)]
        for run in submitted:
            worker.work(run["id"])
    listed = [client.get(run["links"]["events"]).json()["events"] for run in submitted]
    for index, answer in enumerate(answers):
        assert [data for _, _, data in parse(answer.result().text)] == listed[index % 4]
