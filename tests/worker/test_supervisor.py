"""The supervisor with real children, stub stages and a real database."""

import os
import signal
import threading
import time

import pytest

from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.settings import Settings
from core.store import lifecycle, runs, stages
from core.store.artifacts import ArtifactStore
from worker import child
from worker.supervisor import Supervisor


@pytest.fixture
def make(tmp_path, database):
    """A supervisor over the test's database; children started are remembered."""

    def supervisor(**options):
        settings = Settings(
            home=tmp_path / "home",
            stages_module="tests.stub_stages",
            lease_seconds=20.0,
            renew_seconds=0.2,
            cancel_poll_seconds=0.1,
            **options,
        )
        store = ArtifactStore(settings.artifacts)
        store.prepare()
        bells = []
        made = Supervisor(settings, database, store, "w1", bells.extend)
        made.rung = bells
        return made

    return supervisor


@pytest.fixture
def started(monkeypatch):
    """Every child that was started, in order."""
    children = []
    start = child.Child.start

    def remember(job):
        children.append(start(job))
        return children[-1]

    monkeypatch.setattr(child.Child, "start", remember)
    return children


def submit(database, *, name="run", mode="inline", frames=3):
    spec = RunSpec(
        name=name,
        dataset="digits",
        train=TrainSpec(steps=600),
        capture=CaptureSpec(frames=frames, mode=mode),
        pinned=PinnedSources(dataset_digest="d"),
    )
    with database.writing() as session:
        run, _ = runs.accept(session, new_id("run"), spec, build(spec))
    return run.id


def status(database, run_id):
    with database.reading() as session:
        return runs.get(session, run_id).status


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("mode", ["inline", "offload"])
def test_one_bell_is_enough_for_the_whole_run(make, database, started, mode):
    supervisor = make()
    run_id = submit(database, mode=mode)
    supervisor.run(run_id, "fine_tune")
    assert status(database, run_id) == "succeeded"
    with database.reading() as session:
        for row in lifecycle.stages_of(session, run_id).values():
            assert supervisor.store.file(row.key, "result.txt").read_text()
        checkpoints = [
            event.data["step"]
            for event in runs.events(session, run_id, after=0, limit=99)
            if event.type == "checkpoint"
        ]
    assert checkpoints == [0, 300, 600]
    assert all(gone(one.pid) for one in started)
    assert list((supervisor.store.root / "attempts").iterdir()) == []
    assert len(list((supervisor.store.root / "objects").glob("*/*"))) == 4 + 3


def test_a_doubled_bell_changes_nothing(make, database, started):
    supervisor = make()
    run_id = submit(database)
    bells = [threading.Thread(target=supervisor.run, args=(run_id, "fine_tune")) for _ in range(3)]
    for bell in bells:
        bell.start()
    for bell in bells:
        bell.join()
    assert status(database, run_id) == "succeeded"
    assert len(started) == 4


@pytest.mark.parametrize(
    ("name", "kind"), [("diverge", "training-diverged"), ("crash", "stage-crashed"), ("exit", "stage-lost")]
)
def test_how_a_stage_can_fail(make, database, name, kind):
    supervisor = make()
    run_id = submit(database, name=name)
    supervisor.run(run_id, "fine_tune")
    with database.reading() as session:
        run = runs.get(session, run_id)
    assert (run.status, run.error["type"]) == ("failed", kind)
    assert run.error["detail"]
    assert list((supervisor.store.root / "objects").glob("*/*")) == []


def test_a_killed_child_is_replaced(make, database, started, monkeypatch):
    monkeypatch.setenv("EMBEDREEL_STUB_SECONDS", "0.01")
    supervisor = make()
    run_id = submit(database, frames=60)
    working = threading.Thread(target=supervisor.run, args=(run_id, "fine_tune"))
    working.start()
    until(lambda: started and started[0].pid)
    time.sleep(0.2)
    os.kill(started[0].pid, signal.SIGKILL)
    working.join(60)
    assert status(database, run_id) == "succeeded"
    with database.reading() as session:
        requeued = [
            event.data["reason"]
            for event in runs.events(session, run_id, after=0, limit=999)
            if event.type == "stage.requeued"
        ]
    assert requeued == ["its process ended with signal SIGKILL (out of memory?)"]


def test_cancel_stops_the_child(make, database, started):
    supervisor = make()
    run_id = submit(database, frames=600)
    working = threading.Thread(target=supervisor.run, args=(run_id, "fine_tune"))
    working.start()
    until(lambda: status(database, run_id) == "running" and started)
    with database.writing() as session:
        runs.cancel(session, run_id)
    working.join(20)
    assert status(database, run_id) == "cancelled"
    assert gone(started[0].pid)


def test_a_lost_lease_stops_the_child_and_publishes_nothing_more(make, database, started):
    supervisor = make()
    run_id = submit(database, frames=600)
    working = threading.Thread(target=supervisor.run, args=(run_id, "fine_tune"))
    working.start()
    until(lambda: status(database, run_id) == "running" and started)
    with database.writing() as session:  # as if the sweep had taken the stage back from a frozen worker
        row = lifecycle.stages_of(session, run_id)["fine_tune"]
        row.token += 1
        row.status = "queued"
    supervisor.stopping.set()
    working.join(20)
    assert gone(started[0].pid)
    with database.reading() as session:
        assert lifecycle.stages_of(session, run_id)["fine_tune"].status == "queued"


def test_a_stopping_worker_gives_its_stage_back(make, database, started):
    supervisor = make()
    run_id = submit(database, frames=600)
    working = threading.Thread(target=supervisor.run, args=(run_id, "fine_tune"))
    working.start()
    until(lambda: status(database, run_id) == "running" and started)
    supervisor.stopping.set()
    working.join(20)
    assert gone(started[0].pid)
    with database.reading() as session:
        row = lifecycle.stages_of(session, run_id)["fine_tune"]
    assert (row.status, row.attempt) == ("queued", 0)
    assert [bell.stage_id for bell in supervisor.rung] == ["fine_tune"]


def test_a_stage_without_progress_is_given_back(make, database):
    supervisor = make(stall_seconds=0.3, max_attempts=1)
    run_id = submit(database, name="hang")
    supervisor.run(run_id, "fine_tune")
    with database.reading() as session:
        assert "no progress" in runs.get(session, run_id).error["detail"]


def test_an_artifact_that_another_run_published_stays_as_it_is(make, database):
    supervisor = make()
    first, second = submit(database), submit(database)
    supervisor.run(first, "fine_tune")
    with database.reading() as session:
        key = lifecycle.stages_of(session, first)["fine_tune"].key
        written = stages.recorded(session, key)
    before = supervisor.store.file(key, "result.txt").stat().st_ino
    supervisor.run(second, "fine_tune")
    assert status(database, second) == "succeeded"
    assert supervisor.store.file(key, "result.txt").stat().st_ino == before
    with database.reading() as session:
        assert stages.recorded(session, key) == written


def test_two_workers_may_make_the_same_thing_at_once(make, database):
    supervisors = [make(), make()]
    equal = [submit(database, frames=20), submit(database, frames=20)]
    working = [
        threading.Thread(target=one.run, args=(run, "fine_tune")) for one, run in zip(supervisors, equal, strict=True)
    ]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    assert [status(database, run_id) for run_id in equal] == ["succeeded", "succeeded"]
    with database.reading() as session:
        events = [event for run_id in equal for event in runs.events(session, run_id, after=0, limit=999)]
    assert not [event for event in events if event.type == "stage.requeued"]
