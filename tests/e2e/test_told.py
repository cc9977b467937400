"""What real processes write to their logs and tell at /metrics."""

import json

import pytest

from testing.service import serving

FAILING = {"dataset": "digits", "name": "crash", "train": {"steps": 10}, "capture": {"frames": 3, "probe_size": 20}}


def read(service, name):
    """All lines of a process that has ended."""
    return [json.loads(line) for line in service.log(name).splitlines()]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A service with a run that crashed, and the lines of its logs."""
    variables = {"EMBEDREEL_LOG_FORMAT": "json", "EMBEDREEL_TEST_STAGES": "tests.stub_stages"}
    with serving(tmp_path_factory.mktemp("told"), variables) as service:
        service.failed = service.wait(service.post("/v1/runs", FAILING, **{"X-Request-ID": "mine"})["id"])
        service.figures = service.get("/metrics").decode()
    service.lines = {name: read(service, name) for name in ("api", "worker")}
    return service


def test_every_line_is_json(told):
    for name in ("api", "worker"):
        assert told.lines[name], name
        for line in told.lines[name]:
            assert {"time", "level", "logger", "message"} <= line.keys(), line
    assert any(line["logger"] == "uvicorn.error" for line in told.lines["api"])
    assert any(line["logger"].startswith("celery.") for line in told.lines["worker"])


def test_the_api_tells_of_the_request(told):
    (line,) = [line for line in told.lines["api"] if line.get("method") == "POST"]
    assert (line["request"], line["run"], line["status"]) == ("mine", told.failed["id"], 202)
    assert not any(line.get("method") == "GET" for line in told.lines["api"]), "polling is quiet"


def test_the_worker_tells_of_the_stage(told):
    of_stage = [line for line in told.lines["worker"] if line.get("run") == told.failed["id"]]
    assert {(line["stage"], line["attempt"]) for line in of_stage} == {("fine_tune", 1)}
    assert next(line["message"] for line in of_stage if line["logger"] == "worker.supervisor") == "task started"
    assert len({line["worker"] for line in told.lines["worker"]}) == 1


def test_the_child_tells_what_happened(told):
    (line,) = [line for line in told.lines["worker"] if line["logger"] == "worker.runner"]
    assert line["run"] == told.failed["id"]
    assert line["stage"] == "fine_tune"
    assert line["error"] == "ZeroDivisionError: nobody foresaw this"
    assert "stub_stages.py" in line["traceback"]


def test_figures(told):
    assert 'embedreel_runs_ended_total{status="failed"} 1.0' in told.figures
    assert 'embedreel_stages_ended_total{outcome="failed",stage="fine_tune"} 1.0' in told.figures
    assert 'embedreel_workers{device="cpu",queue="gpu"} ' in told.figures
