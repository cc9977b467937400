import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.access.caller import OPERATOR
from api.http.prefer import MAX_SECONDS, wait_seconds
from api.runs import polling
from api.runs.service import RunService
from core.errors import TrainingDivergedError
from core.store.database.tables import DEFAULT_TENANT
from core.store.queries import runs

LONG = {"Prefer": "wait=60"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("WAIT = 10", 10),
        ('wait="10"', 10),
        ("respond-async, wait=10;strict", 10),
        ("wait=0", 0),
        ("wait=99999", MAX_SECONDS),
        ("wait=" + "9" * 100, None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("wait", None),
        ("", None),
        (None, None),
    ],
)
def test_wait_seconds(header, seconds):
    assert wait_seconds(header) == seconds


@pytest.fixture
def meanwhile(monkeypatch):
    """Run a function shortly after, while the test waits for an answer."""
    monkeypatch.setattr(polling, "TICK_SECONDS", 0.02)
    with ThreadPoolExecutor(1) as pool:

        def later(work, *args):
            def delayed():
                time.sleep(0.2)
                work(*args)

            return pool.submit(delayed)

        yield later


def test_show__waits_for_the_end(client, submit, worker, meanwhile):
    run = submit()
    working = meanwhile(worker.work, run["id"])
    answer = client.get(run["links"]["self"], headers=LONG)
    working.result()
    assert answer.json()["status"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=60"


def test_show__waits_for_another_version(client, submit, worker, meanwhile):
    run = submit()
    seen = client.get(run["links"]["self"]).headers["etag"]
    claiming = meanwhile(worker.claim, run["id"])
    answer = client.get(run["links"]["self"], headers={"If-None-Match": seen, **LONG})
    claiming.result()
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert answer.headers["etag"] != seen


def test_show__a_version_that_the_client_does_not_have_is_answered_at_once(client, submit):
    answer = client.get(submit()["links"]["self"], headers={"If-None-Match": 'W/"0"', **LONG})
    assert answer.status_code == 200


@pytest.mark.parametrize("known", [True, False])
def test_show__wait_times_out(client, submit, known):
    run = submit()
    seen = client.get(run["links"]["self"]).headers["etag"]
    started = time.monotonic()
    headers = {"Prefer": "wait=1"} | ({"If-None-Match": seen} if known else {})
    answer = client.get(run["links"]["self"], headers=headers)
    assert time.monotonic() - started >= 1
    assert answer.status_code == (304 if known else 200)
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.headers["etag"] == seen


def test_show__an_ended_run_is_not_waited_for(gallery, exhibit):
    assert gallery.get(f"/v1/runs/{exhibit}", headers=LONG).json()["status"] == "succeeded"


def test_show__no_prefer_no_header(client, submit):
    assert "preference-applied" not in client.get(submit()["links"]["self"]).headers


def test_show__unknown_or_deleted_while_it_waits(client, process, submit, problem, meanwhile):
    problem(client.get("/v1/runs/run_" + "0" * 26, headers=LONG), 404, "not-found")
    run = submit()

    def delete():
        process.services.of(RunService, OPERATOR).cancel(run["id"])
        process.services.of(RunService, OPERATOR).remove(run["id"])

    deleting = meanwhile(delete)
    seen = client.get(run["links"]["self"]).headers["etag"]
    answer = client.get(run["links"]["self"], headers={"If-None-Match": seen, **LONG})
    deleting.result()
    assert answer.status_code in {200, 404}, "cancelled first, then gone"


def test_wait__ends_when_the_service_stops(client, submit, process, meanwhile):
    run = submit()
    stopping = meanwhile(process.stopping.set)
    answer = client.get(run["links"]["self"], headers=LONG)
    stopping.result()
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


def test_wait__holds_no_thread(client, submit, worker, meanwhile):
    """More clients wait than there are threads, and other requests are still answered."""
    run = submit()
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(client.get, run["links"]["self"], headers=LONG) for _ in range(60)]
        time.sleep(0.5)
        assert client.get("/v1/models").status_code == 200
        worker.work(run["id"])
        assert {answer.result().json()["status"] for answer in waiting} == {"succeeded"}


def test_submit__waits_for_the_end(client, small, process, worker, meanwhile):
    def work():
        found = []
        while not found:
            with process.database.reading() as session:
                found = runs.page(session, tenant=DEFAULT_TENANT, before=None, limit=1)
            time.sleep(0.01)
        worker.work(found[0].id)

    working = meanwhile(work)
    answer = client.post("/v1/runs", json=small, headers=LONG)
    working.result()
    assert (answer.status_code, answer.json()["status"]) == (202, "succeeded")
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.headers["location"] == answer.json()["links"]["self"]


def test_cancel_retry_and_renders__wait_too(client, finished, submit, worker, meanwhile):
    assert client.post(f"/v1/runs/{finished}/cancel", headers=LONG).json()["status"] == "succeeded"
    drawn = client.post(f"/v1/runs/{finished}/renders", json={}, headers=LONG)
    assert (drawn.status_code, drawn.json()["status"]) == (202, "succeeded")
    run = submit(name="other", train={"steps": 11})
    worker.fail(worker.claim(run["id"]), TrainingDivergedError("NaN"))
    working = meanwhile(worker.work, run["id"])
    retried = client.post(run["links"]["retry"], headers=LONG)
    working.result()
    assert (retried.status_code, retried.json()["status"]) == (202, "succeeded")
