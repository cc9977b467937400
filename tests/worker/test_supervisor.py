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
from core.store.artifacts import open_store
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
        store = open_store(settings.artifacts, home=settings.root)
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


def test_doing__names_the_stage_under_way(make, database):
    supervisor = make()
    run_id = submit(database, name="hang")
    thread = threading.Thread(target=supervisor.answer)
    thread.start()
    until(lambda: supervisor.doing)
    assert supervisor.doing == [{"run": run_id, "stage": "fine_tune"}]
    assert not supervisor.idle
    supervisor.stopping.set()
    thread.join()
    assert (supervisor.doing, supervisor.idle) == ([], True)


def test_answer__not_beyond_its_places(make, database):
    supervisor = make()
    submit(database, name="hang")
    other = submit(database, name="run")
    thread = threading.Thread(target=supervisor.answer)
    thread.start()
    until(lambda: supervisor.doing)
    supervisor.answer()
    assert (len(supervisor.doing), status(database, other)) == (1, "queued")
    supervisor.stopping.set()
    thread.join()


def test_answer__a_bell_that_no_place_was_free_for_is_not_lost(make, database, monkeypatch):
    supervisor = make()
    look, late = supervisor._next, []  # noqa: SLF001 - the moment after it cannot be met otherwise

    def look_and_be_rung():
        found = look()
        if found is None and not late:  # nothing is queued, and whoever looked has not given its place back yet
            late.append(submit(database))
            supervisor.answer()
            assert status(database, late[0]) == "queued"
        return found

    monkeypatch.setattr(supervisor, "_next", look_and_be_rung)
    supervisor.answer()
    assert status(database, late[0]) == "succeeded"


@pytest.mark.parametrize("mode", ["inline", "offload"])
def test_one_bell_is_enough_for_the_whole_run(make, database, started, mode):
    supervisor = make()
    run_id = submit(database, mode=mode)
    supervisor.answer()
    assert status(database, run_id) == "succeeded"
    with database.reading() as session:
        keys = [row.key for row in lifecycle.stages_of(session, run_id).values()]
        for stored in stages.recorded(session, keys).values():
            assert supervisor.store.file(stored, "result.txt").read_text()
        checkpoints = [
            event.data["step"]
            for event in runs.events(session, run_id, after=0, limit=99)
            if event.type == "checkpoint"
        ]
    assert checkpoints == [0, 300, 600]
    assert all(gone(one.pid) for one in started)
    assert list(supervisor.store.attempts.iterdir()) == []
    assert len(list(supervisor.store.objects.everything())) == 5 + 3


def test_a_doubled_bell_changes_nothing(make, database, started):
    supervisor = make()
    run_id = submit(database)
    bells = [threading.Thread(target=supervisor.answer) for _ in range(3)]
    for bell in bells:
        bell.start()
    for bell in bells:
        bell.join()
    assert status(database, run_id) == "succeeded"
    assert len(started) == 5


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("diverge", "training-diverged"),
        ("crash", "stage-crashed"),
        ("exit", "stage-lost"),
        ("ENOSPC", "storage-unavailable"),
        ("EIO", "storage-unavailable"),
    ],
)
def test_how_a_stage_can_fail(make, database, name, kind):
    supervisor = make()
    run_id = submit(database, name=name)
    supervisor.answer()
    with database.reading() as session:
        run = runs.get(session, run_id)
    assert (run.status, run.error["type"]) == ("failed", kind)
    assert run.error["detail"]
    assert list(supervisor.store.objects.everything()) == []


def waits(supervisor):
    """Whether the stub training `wait` has come to where it stays."""
    return (supervisor.settings.root / "waited").exists()


def test_a_killed_child_is_replaced(make, database, started):
    supervisor = make()
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.answer)
    working.start()
    until(lambda: waits(supervisor))
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
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.answer)
    working.start()
    until(lambda: status(database, run_id) == "running" and started)
    with database.writing() as session:
        runs.cancel(session, run_id)
    working.join(20)
    assert status(database, run_id) == "cancelled"
    assert gone(started[0].pid)


def test_a_lost_lease_stops_the_child_and_publishes_nothing_more(make, database, started):
    supervisor = make()
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.answer)
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
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.answer)
    working.start()
    until(lambda: status(database, run_id) == "running" and started)
    supervisor.stopping.set()
    working.join(20)
    assert gone(started[0].pid)
    with database.reading() as session:
        row = lifecycle.stages_of(session, run_id)["fine_tune"]
    assert (row.status, row.attempt) == ("queued", 0)
    assert [bell.stage_id for bell in supervisor.rung] == ["fine_tune"]


def frames_of(database, run_id):
    with database.reading() as session:
        events = runs.events(session, run_id, after=0, limit=9999)
    return [event.data["frame"] for event in events if event.type == "checkpoint"]


def started_with(database, run_id):
    with database.reading() as session:
        events = runs.events(session, run_id, after=0, limit=9999)
    return [event.data.get("resumed_step") for event in events if event.type == "stage.started"]


def test_a_training_that_is_asked_to_stop_keeps_its_state_and_continues(make, database, started):
    supervisor, successor = make(), make()
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.answer)
    working.start()
    until(lambda: waits(supervisor))
    supervisor.stopping.set()
    working.join(60)
    successor.answer()
    assert status(database, run_id) == "succeeded"
    resumed = started_with(database, run_id)
    assert resumed[0] is None
    assert resumed[1] > 0
    assert frames_of(database, run_id) == list(range(6))
    assert len(list(successor.store.objects.everything())) == 5 + 6


def test_a_killed_training_continues_from_its_last_state(make, database, started):
    supervisor = make(state_seconds=0)
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.answer)
    working.start()
    until(lambda: waits(supervisor) and state_step(database, run_id) is not None)
    os.kill(started[0].pid, signal.SIGKILL)
    working.join(60)
    assert status(database, run_id) == "succeeded"
    assert started_with(database, run_id)[1] > 0
    assert state_step(database, run_id) is None
    assert len(list(supervisor.store.objects.everything())) == 5 + 6


def state_step(database, run_id):
    with database.reading() as session:
        return lifecycle.stages_of(session, run_id)["fine_tune"].state_step


def test_an_input_that_is_gone_fails_the_run_and_says_so(make, database):
    supervisor = make()
    run_id = submit(database)
    with database.reading() as session:
        plan = lifecycle.plan_of(runs.get(session, run_id))
    from core.store.stages import finish

    def lose(session, held, *args):
        published = finish(session, held, *args)
        if held.stage.id == "fine_tune":
            lost = stages.recorded(session, [plan.stage("embed/00001").key])
            supervisor.store.delete(stored.location for stored in lost.values())
        return published

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stages, "finish", lose)
        supervisor.answer()
    with database.reading() as session:
        error = runs.get(session, run_id).error
        stored = runs.stored(session, run_id)
    assert (error["type"], "Retry the run" in error["detail"]) == ("not-ready", True)
    with database.writing() as session:
        runs.retry(session, run_id, missing=supervisor.store.missing(stored))
    supervisor.answer()
    assert status(database, run_id) == "succeeded"


def test_a_stage_without_progress_is_given_back(make, database):
    supervisor = make(stall_seconds=0.3, max_attempts=1)
    run_id = submit(database, name="hang")
    supervisor.answer()
    with database.reading() as session:
        assert "no progress" in runs.get(session, run_id).error["detail"]


def test_what_another_run_has_made_meanwhile_is_not_made_again(make, database, started):
    supervisor = make()
    first, second = submit(database), submit(database)
    supervisor.answer()
    assert (status(database, first), status(database, second)) == ("succeeded", "succeeded")
    assert len(started) == 5
    with database.reading() as session:
        assert lifecycle.stages_of(session, second)["fine_tune"].reused
    assert len(list(supervisor.store.objects.everything())) == 5 + 3


@pytest.fixture
def claimed(monkeypatch):
    """Ids of the runs whose stages are claimed, in order."""
    claim, seen = stages.claim, []

    def remember(session, run_id, stage_id, **options):
        seen.append(run_id)
        return claim(session, run_id, stage_id, **options)

    monkeypatch.setattr(stages, "claim", remember)
    return seen


def test_the_earliest_run_is_done_first_and_one_bell_is_enough_for_all(make, database, claimed):
    supervisor = make()
    early, late = submit(database, name="early"), submit(database, name="late", frames=4)
    supervisor.answer()
    assert claimed == [early] * 5 + [late] * 5
    assert [bell.stage_id for bell in supervisor.rung] == ["project"] * 2  # others could do that at the same time


def test_an_earlier_run_that_comes_back_is_done_first_and_the_later_one_is_rung_for(
    make, database, claimed, monkeypatch
):
    supervisor = make()
    early, late = submit(database, name="early"), submit(database, name="late", frames=4)

    def let(wanted):
        with database.writing() as session:
            lifecycle.stages_of(session, early)["fine_tune"].status = wanted

    let("running")
    finish = stages.finish

    def finish_and_come_back(session, *args):
        monkeypatch.setattr(stages, "finish", finish)
        lifecycle.stages_of(session, early)["fine_tune"].status = "queued"
        return finish(session, *args)

    monkeypatch.setattr(stages, "finish", finish_and_come_back)
    supervisor.answer()
    assert claimed == [late] + [early] * 5 + [late] * 4
    assert [bell.stage_id for bell in supervisor.rung if bell.run_id == late] == ["project", "score"]
    assert (status(database, early), status(database, late)) == ("succeeded", "succeeded")


def test_two_workers_may_make_the_same_thing_at_once(make, database):
    supervisors = [make(), make()]
    equal = [submit(database, frames=20), submit(database, frames=20)]
    working = [threading.Thread(target=one.answer) for one in supervisors]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    assert [status(database, run_id) for run_id in equal] == ["succeeded", "succeeded"]
    with database.reading() as session:
        events = [event for run_id in equal for event in runs.events(session, run_id, after=0, limit=999)]
    assert not [event for event in events if event.type == "stage.requeued"]
