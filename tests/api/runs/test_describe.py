import pytest

from api.runs.describe import FIRST_GUESS, StageSummary, collect, seconds_left
from core.domain.run import TaskStatus
from core.store.queries import progress
from core.store.queries.progress import TaskGroup

PACE = {"score": 0.1, "project": 0.2, "render": 0.3}
DONE = (TaskStatus.SUCCEEDED, 1, 1)
WAITING = (TaskStatus.WAITING, 0, 0)


def stages(**states):
    """Return five stages that started at 100, each with (status, done, total)."""
    frames = states.get("embed", (TaskStatus.RUNNING, 1, 10))
    defaults = {"fine_tune": DONE, "embed": frames, "score": WAITING, "project": WAITING, "render": WAITING}
    return [
        StageSummary(name, "gpu", status, 1, done, total, 1, reused=False, started_at=100.0, finished_at=None)
        for name, (status, done, total) in (defaults | states).items()
    ]


def left(at, *, inline=True, **states):
    return seconds_left(stages(**states), at=at, pace=PACE, inline=inline)


def test_seconds_left__nothing_to_go_by():
    assert left(130.0, fine_tune=(TaskStatus.RUNNING, 0, 0)) is None
    assert left(130.0, fine_tune=(TaskStatus.QUEUED, 0, 0)) is None


def test_seconds_left__training_at_its_rate_and_the_rest_as_it_last_took():
    # 30 s for 25 of 100 steps leave 90 s; 10 frames take 0.6 s each
    assert left(130.0, fine_tune=(TaskStatus.RUNNING, 25, 100)) == pytest.approx(96.0)


def test_seconds_left__the_longer_of_training_and_embedding():
    states = {"fine_tune": (TaskStatus.RUNNING, 90, 100), "embed": (TaskStatus.RUNNING, 2, 10)}
    assert left(140.0, inline=False, **states) == pytest.approx(160.0 + 6.0)
    assert left(140.0, inline=True, **states) == pytest.approx(4.4 + 6.0, abs=0.1)


def test_seconds_left__embedding_continues_after_training():
    assert left(140.0, inline=False, embed=(TaskStatus.RUNNING, 5, 10)) == pytest.approx(46.0)


def test_seconds_left__last_stage():
    done = {"embed": (TaskStatus.SUCCEEDED, 10, 10), "score": DONE, "project": DONE}
    assert left(104.0, **done, render=(TaskStatus.QUEUED, 0, 0)) == pytest.approx(3.0)
    assert left(104.0, **done, render=(TaskStatus.RUNNING, 8, 10)) == pytest.approx(1.0)


def test_seconds_left__of_a_run_that_lacks_a_stage():
    running = (TaskStatus.RUNNING, 25, 100)
    assert seconds_left(stages(fine_tune=running), at=130.0, pace=PACE, inline=True) == pytest.approx(96.0)
    fewer = [stage for stage in stages(fine_tune=running) if stage.name != "project"]
    assert seconds_left(fewer, at=130.0, pace=PACE, inline=True) == pytest.approx(94.0)


def test_seconds_per_frame__as_last_measured(process, finished):
    with process.database.reading() as session:
        pace = progress.seconds_per_frame(session)
    assert set(pace) == set(FIRST_GUESS)
    assert all(0 <= seconds < 60 for seconds in pace.values())


def group(status, tasks, **changes):
    given = {"reused": 0, "attempt": 1, "done": 0, "total": 0, "started_at": None, "finished_at": None}
    return TaskGroup("embed", "gpu", status, tasks, **(given | changes))


@pytest.mark.parametrize(
    ("groups", "status"),
    [
        ([(TaskStatus.WAITING, 3)], TaskStatus.WAITING),
        ([(TaskStatus.WAITING, 2), (TaskStatus.SUCCEEDED, 1)], TaskStatus.RUNNING),
        ([(TaskStatus.WAITING, 2), (TaskStatus.QUEUED, 1)], TaskStatus.QUEUED),
        ([(TaskStatus.SUCCEEDED, 2), (TaskStatus.QUEUED, 1)], TaskStatus.RUNNING),
        ([(TaskStatus.WAITING, 2), (TaskStatus.RUNNING, 1)], TaskStatus.RUNNING),
        ([(TaskStatus.SUCCEEDED, 2), (TaskStatus.CANCELLED, 1)], TaskStatus.CANCELLED),
        ([(TaskStatus.SUCCEEDED, 1), (TaskStatus.CANCELLED, 1), (TaskStatus.FAILED, 1)], TaskStatus.FAILED),
        ([(TaskStatus.RUNNING, 1), (TaskStatus.CANCELLED, 2)], TaskStatus.RUNNING),
        ([(TaskStatus.SUCCEEDED, 3)], TaskStatus.SUCCEEDED),
    ],
)
def test_collect__status_of_many_tasks(groups, status):
    [stage] = collect([group(status, tasks) for status, tasks in groups])
    assert stage.status is status
    assert stage.tasks == stage.total == sum(tasks for _, tasks in groups)


def test_collect__does_not_wait_for_frames_after_an_early_end():
    [stage] = collect([group(TaskStatus.SUCCEEDED, 3), group(TaskStatus.WAITING, 2)], skipped=2)
    assert (stage.status, stage.tasks, stage.done, stage.total) == (TaskStatus.RUNNING, 5, 1, 3)


def test_describe__a_training_that_has_ended_early(client, submit, worker):
    run = submit(train={"steps": 10, "early_stopping": {"patience": 1}})
    held = worker.claim(run["id"])
    worker.skip(held, 2)
    worker.finish(held)  # the other frames; published artifacts remain
    worker.work(run["id"], until="render")
    shown = client.get(f"/v1/runs/{run['id']}").json()
    [embedded] = [stage for stage in shown["stages"] if stage["name"] == "embed"]
    assert (embedded["status"], embedded["progress"]) == ("succeeded", {"done": 2, "total": 2})
    assert [stage["tasks"] for stage in shown["plan"]["stages"] if stage["name"] == "embed"] == [3]
    rows = client.get(run["links"]["checkpoints"]).json()["checkpoints"]
    assert [(row["index"], row["step"]) for row in rows] == [(0, 0), (1, 5)]
    assert client.get("/v1/runs").json()["runs"][0]["stages"] == shown["stages"]


def test_collect__times_and_attempts():
    groups = [
        group(TaskStatus.SUCCEEDED, 2, started_at=5.0, finished_at=9.0, attempt=2, reused=2),
        group(TaskStatus.RUNNING, 1, started_at=7.0),
    ]
    [stage] = collect(groups)
    assert (stage.started_at, stage.finished_at, stage.attempt, stage.reused) == (5.0, None, 2, False)
    [stage] = collect(groups[:1])
    assert (stage.finished_at, stage.reused) == (9.0, True)
