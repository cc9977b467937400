"""Parallel uploads: only a few at a time, and never in the threads of other routes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from api.datasets.upload_slots import INSPECTED_AT_ONCE, UploadSlots
from api.http.errors import UploadsBusyError
from core.data import intake
from core.errors import InvalidDatasetError


@pytest.fixture
def held(monkeypatch):
    """Inspections wait until the test releases them. The semaphore counts the inspections that have begun."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def inspect(*_args, **_options):
        begun.release()
        assert go_on.wait(60)
        raise InvalidDatasetError("It is not.")

    monkeypatch.setattr(intake, "inspect_in_subprocess", inspect)
    yield begun, go_on
    go_on.set()


def upload(client):
    return client.post("/v1/datasets", files=[("file", ("a.zip", b"one"))])


def test_upload__a_busy_service_answers_with_retry_after(serve, held, problem):
    client, (begun, go_on) = serve(max_uploads=1), held
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upload, client)
        try:
            assert begun.acquire(timeout=60)
            refused = upload(client)
        finally:
            go_on.set()
        problem(refused, 503, "uploads-busy")
        assert refused.headers["retry-after"] == "30"
        problem(first.result(60), 422, "invalid-dataset")
    problem(upload(client), 422, "invalid-dataset")


def test_upload__those_that_are_inspected_and_those_that_wait_hold_no_thread_of_other_routes(serve, held, problem):
    client, (begun, go_on) = serve(max_uploads=6), held

    async def one_thread():
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1

    client.portal.call(one_thread)
    with ThreadPoolExecutor(7) as pool:
        uploads = [pool.submit(upload, client) for _ in range(6)]
        try:
            for _ in range(INSPECTED_AT_ONCE):
                assert begun.acquire(timeout=60)
            asked = [pool.submit(client.get, address) for address in ("/v1/datasets", "/v1/runs", "/readyz")]
            assert [answer.result(60).status_code for answer in asked] == [200, 200, 200]
            assert not begun.acquire(blocking=False), "no more are inspected side by side"
        finally:
            go_on.set()
        for answer in uploads:
            problem(answer.result(60), 422, "invalid-dataset")


def test_place__is_free_again_after_an_error():
    slots = UploadSlots(1)
    with pytest.raises(ZeroDivisionError), slots.place():
        raise ZeroDivisionError
    with slots.place(), pytest.raises(UploadsBusyError, match="EMBEDREEL_MAX_UPLOADS"), slots.place():
        pass
    with slots.place():
        pass
