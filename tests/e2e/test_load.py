"""A small run of the load generator of testing/: many clients and streams get no error and miss no event."""

import pytest

from bench import load
from testing.service import serving


@pytest.fixture
def port(tmp_path):
    """Port of a service with stub stages."""
    with serving(tmp_path, {"EMBEDREEL_TEST_STAGES": "tests.stub_stages"}) as running:
        yield running.port


def test_clients_that_post_and_poll(port):
    seen = load.poll(port, clients=5, seconds=5, frames=5)
    assert seen["errors"] == []
    assert seen["statuses"]["POST 202"] >= 5
    assert set(seen["statuses"]) <= {"POST 202", "GET 200", "GET 304"}
    assert set(seen["milliseconds"]) == {"GET", "POST"}


def test_event_streams(port):
    seen = load.follow(port, streams=12, runs=3, frames=5)
    assert seen["wrong"] == []
    assert seen["complete"] == 12
    assert seen["events"] >= 12 * 10
