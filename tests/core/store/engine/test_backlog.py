"""No wake-up is sent to a queue with a backlog, because each idle worker reads the queue itself."""

import pytest

from core.domain.spec import RunSpec
from core.store.database.tables import TaskRow
from core.store.engine import lifecycle, scheduling
from core.store.queries import runs, workers


def make_older(engine, run_ids, seconds):
    """Make the queued tasks of these runs older by `seconds`."""

    def age(session):
        for run_id in run_ids:
            session.get_one(TaskRow, (run_id, "fine_tune")).queued_at -= seconds

    engine.call(age)


@pytest.fixture
def backlog(engine):
    return [engine.submit(seed=seed)[0] for seed in range(scheduling.BACKLOG)]


def test_a_wake_up_is_sent_for_each_task_while_the_backlog_is_short(engine, backlog):
    make_older(engine, backlog[1:], 2 * scheduling.BACKLOG_SECONDS)
    assert engine.submit(seed=100)[1] == ["fine_tune"]


def test_no_wake_up_is_sent_to_a_queue_with_a_backlog(engine, backlog):
    make_older(engine, backlog, 2 * scheduling.BACKLOG_SECONDS)
    late, wake_ups = engine.submit(seed=100)
    assert wake_ups == []
    assert engine.statuses(late)["fine_tune"] == "queued"


def test_wake_ups_are_sent_again_after_the_backlog_is_gone(engine, backlog):
    make_older(engine, backlog, 2 * scheduling.BACKLOG_SECONDS)
    engine.claim(backlog[0], "fine_tune")
    engine.call(runs.cancel, backlog[1])
    assert engine.submit(seed=100)[1] == ["fine_tune"]


def test_a_backlog_in_one_queue_does_not_suppress_wake_ups_of_another_queue(engine, backlog):
    first, _ = engine.submit(seed=100)
    engine.film(first)
    make_older(engine, backlog, 2 * scheduling.BACKLOG_SECONDS)
    assert engine.submit(seed=100, fps=20)[1] == ["render"]


def test_the_sweep_sends_a_wake_up_that_was_left_out(engine, backlog):
    make_older(engine, backlog, 2 * scheduling.BACKLOG_SECONDS)
    late, _ = engine.submit(seed=100)

    def overdue(session):
        session.get_one(TaskRow, (late, "fine_tune")).notify_at = 0.0

    engine.call(overdue)
    assert late in [wake_up.run_id for wake_up in engine.sweep()]


def test_an_artifact_that_is_made_after_it_was_looked_for_is_found_when_its_stage_is_claimed(engine):
    """`accept` trusts its caller about stored artifacts, and the caller has read them before the transaction."""
    first, _ = engine.submit()
    engine.film(first)

    def unseeing(session):
        made = runs.get(session, first)
        spec, plan = RunSpec.model_validate(made.spec), lifecycle.plan_of(made)
        return runs.accept(session, "run_late", spec, plan, among=())

    _, wake_ups = engine.call(unseeing)
    assert [wake_up.task_id for wake_up in wake_ups] == ["fine_tune"]
    engine.claim("run_late", "fine_tune")
    assert engine.run("run_late").status == "succeeded"


def test_queues_of_living_workers_are_served(engine):
    engine.call(workers.beat, "w1", queues=["gpu"], device="cpu")
    engine.call(workers.beat, "w2", queues=["gpu", "cpu"], device="cpu")
    assert engine.call(workers.served) == {"gpu", "cpu"}

    def long_ago(session):
        for row in workers.alive(session):
            row.heartbeat_at -= 2 * workers.ALIVE_SECONDS

    engine.call(long_ago)
    assert engine.call(workers.served) == set()
