import asyncio
import threading

import pytest

from api.runs import polling
from api.runs.polling import CoalescedReads
from core.errors import NotFoundError, StorageUnavailableError

ONE, OTHER, GONE = (f"run_{name * 26}" for name in "abc")


def counted(read=lambda run_id: f"answer of {run_id}"):
    """A read that records the ids it was called with; GONE does not exist."""
    asked = []

    def look(run_ids):
        asked.append(sorted(run_ids))
        return {run_id: read(run_id) for run_id in run_ids if run_id != GONE}

    return CoalescedReads(look), asked


def run(work):
    return asyncio.run(asyncio.wait_for(work, 60))


def test_all_that_ask_at_once_share_one_look():
    shared, asked = counted()

    async def work():
        return await asyncio.gather(*(shared.at(run_id) for run_id in [ONE, OTHER] * 50))

    assert run(work()) == [f"answer of {ONE}", f"answer of {OTHER}"] * 50
    assert asked == [[ONE, OTHER]]


def test_polling__the_first_read_does_not_wait(monkeypatch):
    """There is a pause only between consecutive reads: a single poller is answered at once."""
    paused, sleep = [], asyncio.sleep

    async def noted(seconds, *rest):
        paused.append(seconds)
        await sleep(0, *rest)

    monkeypatch.setattr(polling.asyncio, "sleep", noted)
    looking, go_on = threading.Event(), threading.Event()

    def read(run_id):
        looking.set()
        assert go_on.wait(60)
        return run_id

    shared, _ = counted(read)

    async def work():
        first = asyncio.create_task(shared.at(ONE))
        await asyncio.to_thread(looking.wait, 60)
        second = asyncio.create_task(shared.at(OTHER))
        await sleep(0)
        go_on.set()
        await asyncio.gather(first, second)

    run(work())
    assert paused == [0, polling.GATHER_SECONDS]


def test_polling__a_caller_during_a_read_gets_the_next_read():
    """A running read may have begun before a change that the caller has made itself."""
    looking, go_on = threading.Event(), threading.Event()
    state = {"value": "old"}

    def read(run_id):
        value = state["value"]
        looking.set()
        assert go_on.wait(60)
        return value

    shared, asked = counted(read)

    async def work():
        first = asyncio.create_task(shared.at(ONE))
        await asyncio.to_thread(looking.wait, 60)
        state["value"] = "new"
        second = asyncio.create_task(shared.at(ONE))
        await asyncio.sleep(0)
        go_on.set()
        return await first, await second

    assert run(work()) == ("old", "new")
    assert asked == [[ONE], [ONE]]


def test_one_that_is_not_there_hurts_no_other():
    shared, _ = counted()

    async def work():
        return await asyncio.gather(shared.at(ONE), shared.at(GONE), return_exceptions=True)

    there, gone = run(work())
    assert there == f"answer of {ONE}"
    assert isinstance(gone, NotFoundError)


@pytest.mark.parametrize("run_id", ["x", "run_\x00", "ds_" + "a" * 26])
def test_polling__malformed_ids_never_reach_the_database(run_id):
    shared, asked = counted()
    with pytest.raises(NotFoundError):
        run(shared.at(run_id))
    assert asked == []


def test_polling__an_error_reaches_all_callers_and_the_next_read_is_new():
    failures = iter([True])

    def read(run_id):
        if next(failures, False):
            raise StorageUnavailableError("away")
        return "back"

    shared, _ = counted(read)

    async def work():
        failed = await asyncio.gather(shared.at(ONE), shared.at(ONE), return_exceptions=True)
        return failed, await shared.at(ONE)

    failed, answer = run(work())
    assert [type(error) for error in failed] == [StorageUnavailableError] * 2
    assert answer == "back"


def test_a_client_that_leaves_takes_nothing_from_the_others():
    go_on = threading.Event()
    shared, _ = counted(lambda _: go_on.wait(60))

    async def work():
        leaving, staying = asyncio.create_task(shared.at(ONE)), asyncio.create_task(shared.at(ONE))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        return await staying

    assert run(work()) is True


def test_polling__a_hanging_read_times_out(monkeypatch):
    monkeypatch.setattr(polling, "LOCK_WAIT_SECONDS", 0.1)
    go_on = threading.Event()
    shared, _ = counted(lambda _: go_on.wait(60))

    async def work():
        with pytest.raises(StorageUnavailableError, match="in time"):
            await shared.at(ONE)
        go_on.set()

    run(work())
