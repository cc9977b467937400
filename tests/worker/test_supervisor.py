"""Which tasks a supervisor runs, and in which order: real children, stub stages and a real database."""

import threading

import pytest

from core.store.engine import artifact_rows, claims, lifecycle, publishing
from core.store.queries import runs
from tests.worker.supervised import gone, status, submit, until


def test_doing__names_the_running_task(make, database):
    supervisor = make()
    run_id = submit(database, name="hang")
    thread = threading.Thread(target=supervisor.wake)
    thread.start()
    until(lambda: supervisor.doing)
    assert supervisor.doing == [{"run": run_id, "stage": "fine_tune"}]
    assert not supervisor.idle
    supervisor.stopping.set()
    thread.join()
    assert (supervisor.doing, supervisor.idle) == ([], True)


def test_wake__never_more_tasks_than_places(make, database):
    supervisor = make()
    submit(database, name="hang")
    other = submit(database, name="run")
    thread = threading.Thread(target=supervisor.wake)
    thread.start()
    until(lambda: supervisor.doing)
    supervisor.wake()
    assert (len(supervisor.doing), status(database, other)) == (1, "queued")
    supervisor.stopping.set()
    thread.join()


def test_wake__a_wake_up_without_a_free_place_is_not_lost(make, database, monkeypatch):
    supervisor = make()
    look, late = supervisor._next, []  # noqa: SLF001 - the moment after it cannot be met otherwise

    def read_queue_during_a_wake_up():
        found = look()
        if found is None and not late:  # no task is queued, and the thread that has read the queue still has its place
            late.append(submit(database))
            supervisor.wake()
            assert status(database, late[0]) == "queued"
        return found

    monkeypatch.setattr(supervisor, "_next", read_queue_during_a_wake_up)
    supervisor.wake()
    assert status(database, late[0]) == "succeeded"


@pytest.mark.parametrize("mode", ["inline", "offload"])
def test_wake__one_wake_up_runs_the_whole_run(make, database, started, mode):
    supervisor = make()
    run_id = submit(database, mode=mode)
    supervisor.wake()
    assert status(database, run_id) == "succeeded"
    with database.reading() as session:
        keys = [row.key for row in lifecycle.tasks_of(session, run_id).values()]
        for stored in artifact_rows.recorded(session, keys).values():
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


def test_wake__a_repeated_wake_up_changes_nothing(make, database, started):
    supervisor = make()
    run_id = submit(database)
    wake_ups = [threading.Thread(target=supervisor.wake) for _ in range(3)]
    for wake_up in wake_ups:
        wake_up.start()
    for wake_up in wake_ups:
        wake_up.join()
    assert status(database, run_id) == "succeeded"
    assert len(started) == 5


def test_wake__an_artifact_of_another_run_is_reused(make, database, started):
    supervisor = make()
    first, second = submit(database), submit(database)
    supervisor.wake()
    assert (status(database, first), status(database, second)) == ("succeeded", "succeeded")
    assert len(started) == 5
    with database.reading() as session:
        assert lifecycle.tasks_of(session, second)["fine_tune"].reused
    assert len(list(supervisor.store.objects.everything())) == 5 + 3


@pytest.fixture
def claimed(monkeypatch):
    """Return the ids of the runs whose tasks are claimed, in order."""
    claim, seen = claims.claim, []

    def remember(session, run_id, task_id, **options):
        seen.append(run_id)
        return claim(session, run_id, task_id, **options)

    monkeypatch.setattr(claims, "claim", remember)
    return seen


def test_wake__one_wake_up_runs_all_runs_the_earliest_first(make, database, claimed):
    supervisor = make()
    early, late = submit(database, name="early"), submit(database, name="late", frames=4)
    supervisor.wake()
    assert claimed == [early] * 5 + [late] * 5
    assert [wake_up.task_id for wake_up in supervisor.sent] == [
        "project"
    ] * 2  # another worker could run that task at the same time


def test_wake__a_requeued_earlier_run_is_first_and_the_later_one_gets_a_wake_up(make, database, claimed, monkeypatch):
    supervisor = make()
    early, late = submit(database, name="early"), submit(database, name="late", frames=4)

    def let(wanted):
        with database.writing() as session:
            lifecycle.tasks_of(session, early)["fine_tune"].status = wanted

    let("running")
    finish = publishing.finish

    def finish_and_come_back(session, *args):
        monkeypatch.setattr(publishing, "finish", finish)
        lifecycle.tasks_of(session, early)["fine_tune"].status = "queued"
        return finish(session, *args)

    monkeypatch.setattr(publishing, "finish", finish_and_come_back)
    supervisor.wake()
    assert claimed == [late] + [early] * 5 + [late] * 4
    assert [wake_up.task_id for wake_up in supervisor.sent if wake_up.run_id == late] == ["project", "score"]
    assert (status(database, early), status(database, late)) == ("succeeded", "succeeded")


def test_wake__two_workers_may_make_the_same_artifact(make, database):
    supervisors = [make(), make()]
    equal = [submit(database, frames=20), submit(database, frames=20)]
    working = [threading.Thread(target=one.wake) for one in supervisors]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    assert [status(database, run_id) for run_id in equal] == ["succeeded", "succeeded"]
    with database.reading() as session:
        events = [event for run_id in equal for event in runs.events(session, run_id, after=0, limit=999)]
    assert not [event for event in events if event.type == "stage.requeued"]
