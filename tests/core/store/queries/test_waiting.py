"""What runs wait for, on each database."""

import pytest
from sqlalchemy import event

from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.run import RunStatus
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.store.database.tables import TaskRow
from core.store.engine import claims
from core.store.queries import runs, waiting, workers


@pytest.fixture
def accept(database):
    """Accept a run that shares no artifact with another run. Returns its id. Ids increase."""
    count = iter(range(10**6))

    def accepted(mode="inline"):
        seed = next(count)
        spec = RunSpec(
            name="run",
            dataset="digits",
            train=TrainSpec(steps=10, seed=seed),
            capture=CaptureSpec(frames=3, mode=mode),
            pinned=PinnedSources(dataset_digest="d"),
        )
        run_id = f"run_{seed:026d}"
        with database.writing() as session:
            runs.accept(session, run_id, spec, build(spec))
        return run_id

    return accepted


def claim(database, run_id):
    with database.writing() as session:
        return claims.claim(session, run_id, "fine_tune", worker_id="w", lease_seconds=30)


def ask(database, question, run_ids):
    with database.reading() as session:
        return question(session, run_ids)


def test_positions__count_the_runs_ahead(database, accept):
    ids = [accept() for _ in range(4)]
    assert ask(database, waiting.positions, ids) == dict(zip(ids, range(4), strict=True))
    claim(database, ids[0])
    assert ask(database, waiting.positions, ids) == {ids[1]: 0, ids[2]: 1, ids[3]: 2}
    assert ask(database, waiting.positions, ids[3:]) == {ids[3]: 2}
    assert ask(database, waiting.positions, []) == {}


def test_positions__a_run_counts_once_and_other_queues_do_not(database, accept):
    several, other, mine = accept(), accept(), accept()
    with database.writing() as session:
        session.get_one(TaskRow, (several, "embed/00000")).status = "queued"
        session.get_one(TaskRow, (other, "fine_tune")).queue = "cpu"
    assert ask(database, waiting.positions, [mine]) == {mine: 1}


def test_positions__no_more_are_counted_than_anybody_reads(database, accept, monkeypatch):
    monkeypatch.setattr(waiting, "MOST_AHEAD", 2)
    ids = [accept() for _ in range(4)]
    assert list(ask(database, waiting.positions, ids).values()) == [0, 1, 2, 2]


def test_positions__of_the_first_stage_that_waits(database, accept):
    first, mine = accept(), accept()
    with database.writing() as session:
        session.get_one(TaskRow, (first, "fine_tune")).queue = "cpu"
        session.get_one(TaskRow, (mine, "render")).status = "queued"
    assert ask(database, waiting.positions, [mine]) == {mine: 0}


def test_positions__use_the_index_of_queued_stages(database, accept):
    """Thousands of runs may wait. SQLite uses the partial index only if the status is a literal, not a parameter."""
    if not database.sqlite:
        return
    run_id, statements = accept(), []
    event.listen(database.engine, "before_cursor_execute", lambda *told: statements.append(told[2:4]))
    ask(database, waiting.positions, [run_id])
    [(statement, parameters)] = [told for told in statements if "SELECT" in told[0]]
    with database.engine.connect() as connection:
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    assert "USING COVERING INDEX tasks_queued (queue=? AND run_id<?)" in str(steps)
    assert "tasks USING INDEX sqlite_autoindex_tasks_1 (run_id=?)" in str(steps)


def test_unserved__until_a_worker_is_there(database, accept):
    run_id = accept()
    assert ask(database, waiting.unserved, [run_id]) == {run_id: ("gpu",)}
    with database.writing() as session:
        workers.beat(session, "w", queues=["cpu"], device="cpu")
    assert ask(database, waiting.unserved, [run_id]) == {run_id: ("gpu",)}
    with database.writing() as session:
        workers.beat(session, "v", queues=["gpu"], device="cpu")
    assert ask(database, waiting.unserved, [run_id]) == {}


def test_unserved__names_all_queues(database, accept):
    run_id = accept()
    with database.writing() as session:
        session.get_one(TaskRow, (run_id, "render")).status = "queued"
    assert ask(database, waiting.unserved, [run_id]) == {run_id: ("gpu", "cpu")}


def test_glance(database, accept):
    running, queued, ended = accept(), accept(), accept()
    claim(database, running)
    with database.writing() as session:
        runs.cancel(session, ended)
    found = ask(database, waiting.run_states, [running, queued, ended, new_id("run")])
    assert set(found) == {running, queued, ended}
    assert [found[run_id].status for run_id in (running, queued, ended)] == [
        RunStatus.RUNNING,
        RunStatus.QUEUED,
        RunStatus.CANCELLED,
    ]
    assert [found[run_id].position for run_id in (running, queued, ended)] == [None, 0, None]
    assert [found[run_id].unserved for run_id in (running, queued, ended)] == [("gpu",), ("gpu",), ()]
    with database.reading() as session:
        assert {run_id: runs.get(session, run_id).version for run_id in found} == {
            run_id: seen.version for run_id, seen in found.items()
        }
