"""Logs and metrics of real processes."""

import json

import pytest

from testing.service import serving

FAILING = {"dataset": "digits", "name": "crash", "train": {"steps": 10}, "capture": {"frames": 3, "probe_size": 20}}


def read(service, name):
    """Return all lines that an ended process has logged."""
    return [json.loads(line) for line in service.log(name).splitlines()]


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Return a service with a run that crashed, and the lines of its logs."""
    variables = {"EMBEDREEL_LOG_FORMAT": "json", "EMBEDREEL_TEST_STAGES": "tests.stub_stages"}
    with serving(tmp_path_factory.mktemp("logged"), variables) as service:
        service.failed = service.wait(service.post("/v1/runs", FAILING, **{"X-Request-ID": "mine"})["id"])
        service.figures = service.get("/metrics").decode()
    service.lines = {name: read(service, name) for name in ("api", "worker")}
    return service


def test_logs__every_line_is_json(logged):
    for name in ("api", "worker"):
        assert logged.lines[name], name
        for line in logged.lines[name]:
            assert {"time", "level", "logger", "message"} <= line.keys(), line
    assert any(line["logger"] == "uvicorn.error" for line in logged.lines["api"])
    assert any(line["logger"].startswith("celery.") for line in logged.lines["worker"])


def test_logs__the_api_logs_the_request(logged):
    (line,) = [line for line in logged.lines["api"] if line.get("method") == "POST"]
    assert (line["request"], line["run"], line["status"]) == ("mine", logged.failed["id"], 202)
    assert not any(line.get("method") == "GET" for line in logged.lines["api"]), "polling is quiet"


def test_logs__the_worker_logs_the_task(logged):
    of_stage = [line for line in logged.lines["worker"] if line.get("run") == logged.failed["id"]]
    assert {(line["stage"], line["attempt"]) for line in of_stage} == {("fine_tune", 1)}
    assert next(line["message"] for line in of_stage if line["logger"] == "worker.supervisor") == "task started"
    assert len({line["worker"] for line in logged.lines["worker"]}) == 1


def test_logs__the_child_logs_the_error(logged):
    (line,) = [line for line in logged.lines["worker"] if line["logger"] == "worker.runner"]
    assert line["run"] == logged.failed["id"]
    assert line["stage"] == "fine_tune"
    assert line["error"] == "ZeroDivisionError: nobody foresaw this"
    assert "stub_stages.py" in line["traceback"]


def test_figures(logged):
    assert 'embedreel_runs_ended_total{status="failed"} 1.0' in logged.figures
    assert 'embedreel_stages_ended_total{outcome="failed",stage="fine_tune"} 1.0' in logged.figures
    assert 'embedreel_workers{device="cpu",queue="gpu"} ' in logged.figures
