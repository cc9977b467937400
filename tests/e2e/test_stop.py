"""A worker that is asked to stop, alone or with its whole process group as service managers do, loses no work."""

import os
import signal

import pytest

from testing.service import Service, free_port, stage

STUBS = {"EMBEDREEL_TEST_STAGES": "tests.stub_stages", "EMBEDREEL_STUB_SECONDS": "0.05"}
SPEC = {"dataset": "digits", "train": {"steps": 200}, "capture": {"frames": 30, "probe_size": 100}}


@pytest.fixture
def stubs(tmp_path):
    running = Service(tmp_path, free_port(), STUBS)
    try:
        running.start_api()
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("ask", [os.kill, os.killpg])
def test_a_training_continues_where_its_worker_was_stopped(stubs, ask):
    worker = stubs.start_worker()
    run_id = stubs.submit(**SPEC)
    stubs.wait(run_id, until=lambda run: stage(run, "embed")["progress"]["done"] > 3)
    ask(worker.pid, signal.SIGTERM)
    assert worker.wait(60) == 0
    stubs.start_worker()
    run = stubs.wait(run_id)
    assert run["status"] == "succeeded", run["error"]
    events = stubs.json(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    assert [event["data"]["reason"] for event in events if event["type"] == "stage.requeued"] == [
        "its worker was asked to stop"
    ]
    begun = [event["data"] for event in events if event["type"] == "stage.started"]
    assert begun[1]["attempt"] == 1
    assert begun[1]["resumed_step"] > 0


STOPPED_AS_IT_STARTS = """
import os, signal, sys
from worker import __main__ as worker
worker.warm_up = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(worker.main())
"""


def test_a_worker_that_is_stopped_as_it_starts_ends_in_good_order(stubs):
    assert stubs.start_worker("-c", STOPPED_AS_IT_STARTS).wait(60) == 0
