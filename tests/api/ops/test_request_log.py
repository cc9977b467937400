import json
import logging

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, parser

from api.ops.request_log import _SANE, Observer
from api.runs.service import RunService
from core import logs


@pytest.fixture
def lines(caplog):
    """Return the log lines that are written from now on, parsed from JSON. Each is formatted when it is written, as a
    handler does.
    """
    caplog.set_level(logging.DEBUG)
    written = []

    class Recorder(logging.Handler):
        def emit(self, record):
            written.append(json.loads(self.format(record)))

    recorder = Recorder()
    recorder.setFormatter(logs.JsonFormatter())
    logging.getLogger().addHandler(recorder)
    yield written
    logging.getLogger().removeHandler(recorder)


def of_requests(lines):
    return [line for line in lines if line["logger"] == "api.ops.request_log"]


def counted(client):
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in parser.text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "embedreel_http_requests_total"
    }


def test_requests_are_counted_by_route(client, submit):
    run = submit()
    for _ in range(2):
        client.get(run["links"]["self"])
    client.get("/v1/runs/run_nothing")
    client.get("/v1/nothing/here")
    client.put("/v1/runs")
    client.request("BREW", "/v1/runs")
    client.post("/v1/runs", json={})
    client.get("/v1/datasets/ds_a/b/c")
    assert counted(client) == {
        ("/v1/runs", "POST", "202"): 1,
        ("/v1/runs/{run_id}", "GET", "200"): 2,
        ("/v1/runs/{run_id}", "GET", "404"): 1,
        ("unmatched", "GET", "404"): 1,
        ("/v1/runs", "PUT", "405"): 1,
        ("/v1/runs", "other", "405"): 1,
        ("/v1/runs", "POST", "422"): 1,
        ("/v1/datasets/{dataset_id:path}", "GET", "404"): 1,
    }
    assert counted(client)["/metrics", "GET", "200"] == 1


def test_a_stream_is_measured_to_its_first_byte(client, finished, monkeypatch):
    """A stream ends much later than other answers."""
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr("api.ops.request_log.time.perf_counter", lambda: next(clock))
    client.get(f"/v1/runs/{finished}/stream")
    monkeypatch.undo()
    text = client.get("/metrics").text
    assert 'duration_seconds_sum{method="GET",route="/v1/runs/{run_id}/stream"} 100.0' in text


def test_a_failure_is_counted_named_and_logged(client, process, problem, lines, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(RunService, "page", fail)
    response = client.get("/v1/runs", headers={"X-Request-ID": "mine-1"})
    assert problem(response, 500, "unexpected")["request_id"] == "mine-1"
    assert response.headers["x-request-id"] == "mine-1"
    (line,) = of_requests(lines)
    assert (line["level"], line["status"], line["request"]) == ("INFO", 500, "mine-1")
    (failure,) = [line for line in lines if "ZeroDivisionError" in line["message"]]
    assert failure["request"] == "mine-1"
    assert counted(client)["/v1/runs", "GET", "500"] == 1


def test_unavailable_storage__the_problem_names_the_request(client, process, problem, monkeypatch):
    from core.errors import StorageUnavailableError

    def away(*_, **__):
        raise StorageUnavailableError("gone")

    monkeypatch.setattr(RunService, "page", away)
    response = client.get("/v1/runs")
    assert problem(response, 503, "storage-unavailable")["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("offered", ["mine", "8f14e45f-ea1b", "a.b_c:d/e+f=", "x" * 128])
def test_an_id_that_is_sane_is_kept(idle, offered):
    assert idle.get("/livez", headers={"X-Request-ID": offered}).headers["x-request-id"] == offered


@pytest.mark.parametrize("offered", ["", "a b", 'a"b', "x" * 129, "ä".encode(), "a;b"])
def test_request_id__an_invalid_one_is_replaced(idle, offered):
    given = idle.get("/livez", headers={"X-Request-ID": offered}).headers["x-request-id"]
    assert given.startswith("req_")
    assert _SANE.fullmatch(given)


def test_every_request_has_an_id_of_its_own(idle):
    assert len({idle.get("/livez").headers["x-request-id"] for _ in range(3)}) == 3


def test_log__what_changes_something(client, submit, lines):
    run = submit(name="secret name")
    (line,) = of_requests(lines)
    assert line["level"] == "INFO"
    assert line["message"] == "request"
    assert (line["method"], line["path"], line["status"], line["run"]) == ("POST", "/v1/runs", 202, run["id"])
    assert line["duration_ms"] > 0
    assert line["request"].startswith("req_")
    assert "secret" not in json.dumps(line)
    client.post(run["links"]["cancel"])
    assert of_requests(lines)[-1]["run"] == run["id"]


def test_log__polling_is_quiet_and_errors_are_not(client, submit, lines):
    client.get(submit()["links"]["self"])
    assert of_requests(lines)[-1]["level"] == "DEBUG"
    client.get("/v1/runs?cursor=secret", headers={"Authorization": "Bearer secret"})
    assert of_requests(lines)[-1]["level"] == "INFO"
    assert "secret" not in json.dumps(of_requests(lines))


def test_log__lines_of_inner_code_have_the_fields_of_the_request(client, process, lines, monkeypatch):
    """A line that a thread of the pool logs has the fields of the request."""
    original = RunService.page

    def loud(self, **options):
        logging.getLogger("further.in").info("here")
        return original(self, **options)

    monkeypatch.setattr(RunService, "page", loud)
    client.get("/v1/runs", headers={"X-Request-ID": "mine"})
    (line,) = [line for line in lines if line["logger"] == "further.in"]
    assert line["request"] == "mine"


def test_log__fields_of_inner_code_are_on_the_line_of_the_request(lines):
    """Fields that inner code binds are on the line of the request. The middleware binds the caller this way."""

    async def app(scope, receive, send):
        logs.bind(tenant="acme")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    client = TestClient(Observer(app, registry=CollectorRegistry()))
    client.delete("/anything")
    (line,) = of_requests(lines)
    assert (line["tenant"], line["method"], line["path"]) == ("acme", "DELETE", "/anything")


def test_log__requests_do_not_share_fields(idle, lines):
    idle.get("/v1/runs/run_00000000000000000000000000")
    idle.get("/v1/nothing")
    first, second = of_requests(lines)
    assert first["run"] == "run_00000000000000000000000000"
    assert "run" not in second
    assert first["request"] != second["request"]
