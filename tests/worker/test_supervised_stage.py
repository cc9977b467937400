"""How a task and its child end: real children, stub stages and a real database."""

import os
import signal
import threading

import pytest

from core.store.engine import artifact_rows, lifecycle, publishing
from core.store.queries import runs
from tests.worker.supervised import gone, status, submit, until
from worker import watchdog


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
def test_task__ways_to_fail(make, database, name, kind):
    supervisor = make()
    run_id = submit(database, name=name)
    supervisor.wake()
    with database.reading() as session:
        run = runs.get(session, run_id)
    assert (run.status, run.error["type"]) == ("failed", kind)
    assert run.error["detail"]
    assert list(supervisor.store.objects.everything()) == []


def test_a_model_of_an_unknown_family_fails_the_run_at_once(make, database):
    supervisor = make()
    run_id = submit(database, name="beit")
    supervisor.wake()
    with database.reading() as session:
        run, attempts = runs.get(session, run_id), lifecycle.tasks_of(session, run_id)["fine_tune"].attempt
    assert (run.status, run.error["type"], run.error["field"], attempts) == ("failed", "unusable-model", "model", 1)


def waits(supervisor):
    """Return True if the stub training `wait` waits."""
    return (supervisor.settings.root / "waited").exists()


def training(supervisor, database):
    """Start a run whose training waits, and the thread that runs it."""
    run_id = submit(database, name="wait", frames=6)
    working = threading.Thread(target=supervisor.wake)
    working.start()
    return run_id, working


def test_task__a_killed_child_is_replaced(make, database, started):
    supervisor = make()
    run_id, working = training(supervisor, database)
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
    run_id, working = training(supervisor, database)
    until(lambda: status(database, run_id) == "running" and started)
    with database.writing() as session:
        runs.cancel(session, run_id)
    working.join(20)
    assert status(database, run_id) == "cancelled"
    assert gone(started[0].pid)


def test_task__a_lost_lease_stops_the_child_and_its_publications(make, database, started):
    supervisor = make()
    run_id, working = training(supervisor, database)
    until(lambda: status(database, run_id) == "running" and started)
    with database.writing() as session:  # as if the sweep had queued the task of a stopped worker again
        row = lifecycle.tasks_of(session, run_id)["fine_tune"]
        row.token += 1
        row.status = "queued"
    supervisor.stopping.set()
    working.join(20)
    assert gone(started[0].pid)
    with database.reading() as session:
        assert lifecycle.tasks_of(session, run_id)["fine_tune"].status == "queued"


def test_task__a_stopping_worker_queues_its_task_again(make, database, started):
    supervisor = make()
    run_id, working = training(supervisor, database)
    until(lambda: status(database, run_id) == "running" and started)
    supervisor.stopping.set()
    working.join(20)
    assert gone(started[0].pid)
    with database.reading() as session:
        row = lifecycle.tasks_of(session, run_id)["fine_tune"]
    assert (row.status, row.attempt) == ("queued", 0)
    assert [wake_up.task_id for wake_up in supervisor.sent] == ["fine_tune"]


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
    run_id, working = training(supervisor, database)
    until(lambda: waits(supervisor))
    supervisor.stopping.set()
    working.join(60)
    successor.wake()
    assert status(database, run_id) == "succeeded"
    resumed = started_with(database, run_id)
    assert resumed[0] is None
    assert resumed[1] > 0
    assert frames_of(database, run_id) == list(range(6))
    assert len(list(successor.store.objects.everything())) == 5 + 6


def test_a_killed_training_continues_from_its_last_state(make, database, started):
    supervisor = make(state_seconds=0)
    run_id, working = training(supervisor, database)
    until(lambda: waits(supervisor) and state_step(database, run_id) is not None)
    os.kill(started[0].pid, signal.SIGKILL)
    working.join(60)
    assert status(database, run_id) == "succeeded"
    assert started_with(database, run_id)[1] > 0
    assert state_step(database, run_id) is None
    assert len(list(supervisor.store.objects.everything())) == 5 + 6


def state_step(database, run_id):
    with database.reading() as session:
        return lifecycle.tasks_of(session, run_id)["fine_tune"].state_step


def test_task__a_missing_input_fails_the_run_with_a_clear_error(make, database):
    supervisor = make()
    run_id = submit(database)
    with database.reading() as session:
        plan = lifecycle.plan_of(runs.get(session, run_id))
    from core.store.engine.publishing import finish

    def lose(session, held, *args):
        published = finish(session, held, *args)
        if held.task.id == "fine_tune":
            lost = artifact_rows.recorded(session, [plan.task("embed/00001").key])
            supervisor.store.delete(stored.location for stored in lost.values())
        return published

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publishing, "finish", lose)
        supervisor.wake()
    with database.reading() as session:
        error = runs.get(session, run_id).error
        stored = runs.stored(session, run_id)
    assert (error["type"], "Retry the run" in error["detail"]) == ("not-ready", True)
    with database.writing() as session:
        runs.retry(session, run_id, missing=supervisor.store.missing(stored))
    supervisor.wake()
    assert status(database, run_id) == "succeeded"


def test_task__without_progress_it_is_queued_again(make, database):
    supervisor = make(stall_seconds=0.3, max_attempts=1)
    run_id = submit(database, name="hang")
    supervisor.wake()
    with database.reading() as session:
        assert "it showed no progress and did nothing" in runs.get(session, run_id).error["detail"]


def test_task__a_working_child_without_reports_continues(make, database):
    supervisor = make(stall_seconds=1.0, max_attempts=1)
    run_id = submit(database, name="busy")
    supervisor.wake()
    assert status(database, run_id) == "succeeded"


def test_task__a_child_that_never_reports_is_queued_again(make, database, monkeypatch):
    monkeypatch.setattr(watchdog, "BUSY_STALLS", 2)
    supervisor = make(stall_seconds=0.5, max_attempts=1)
    run_id = submit(database, name="circle")
    supervisor.wake()
    with database.reading() as session:
        assert "although it was busy" in runs.get(session, run_id).error["detail"]


def test_task__a_report_is_an_event_of_the_run(make, database):
    run_id = submit(database, name="redraw")
    make().wake()
    with database.reading() as session:
        events = runs.events(session, run_id, after=0, limit=9999)
    told = [event.data for event in events if event.type == "stage.redrawn"]
    assert told == [{"stage": "render", "reason": "it was too large", "width": 408}]
