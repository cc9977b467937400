"""Runs as the API uses them: retry, deletion, and the duration of their drawing."""

import pytest

from core.errors import ConflictError, NotFoundError, TrainingDivergedError
from core.store.database.tables import TaskRow
from core.store.engine import failures
from core.store.queries import progress, runs


def test_seconds_per_frame__is_of_the_frames_that_were_drawn(engine):
    run_id, _ = engine.submit()
    engine.film(run_id)
    took = {"score": 6.0, "project": 3.0, "measure": 1.5, "render": 12.0}
    with engine.database.writing() as session:
        for task_id, seconds in took.items():
            row = session.get(TaskRow, (run_id, task_id))
            row.finished_at, row.total = row.started_at + seconds, 2 if task_id == "render" else 40
    with engine.database.reading() as session:
        assert progress.seconds_per_frame(session) == pytest.approx(
            {name: seconds / 2 for name, seconds in took.items()}
        )


def test_retry__keeps_finished_tasks_and_clears_the_error(engine):
    run_id, _ = engine.submit()
    training = engine.claim(run_id, "fine_tune")
    for index in range(3):
        engine.part(training, index)
    engine.finish(training)
    engine.call(failures.fail, engine.claim(run_id, "score"), TrainingDivergedError("not a number"))
    run = engine.run(run_id)
    assert (run.status, run.error["type"]) == ("failed", "training-diverged")
    _, wake_ups = engine.call(runs.retry, run_id)
    assert [wake_up.task_id for wake_up in wake_ups] == ["score", "project"]
    assert engine.run(run_id).error is None
    assert engine.run(run_id).finished_at is None


def test_retry_of_a_healthy_run_is_refused(engine):
    run_id, _ = engine.submit()
    with pytest.raises(ConflictError, match="queued"):
        engine.call(runs.retry, run_id)


def test_remove__keeps_shared_artifacts(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, _ = engine.submit(fps=20)
    engine.film(second)
    removed = engine.call(runs.remove, second)
    assert [second in location for location in removed.locations] == [True]
    assert len(removed.keys) == 1 + 3 + 4
    assert len(engine.call(runs.remove, first).locations) == 1 + 3 + 4
    with pytest.raises(NotFoundError):
        engine.run(first)


def test_remove_of_a_running_run_is_refused(engine):
    run_id, _ = engine.submit()
    engine.claim(run_id, "fine_tune")
    with pytest.raises(ConflictError, match="Cancel it"):
        engine.call(runs.remove, run_id)
    assert engine.run(run_id).status == "running"
