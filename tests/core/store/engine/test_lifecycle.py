import pytest

from core.domain.run import TRANSITIONS, RunStatus
from core.store.database.tables import RunRow
from core.store.engine import lifecycle
from core.store.queries import runs


def test_a_run_goes_through_its_stages_in_order(engine):
    run_id, wake_ups = engine.submit()
    assert wake_ups == ["fine_tune"]
    assert engine.run(run_id).status == "queued"
    training = engine.claim(run_id, "fine_tune")
    assert engine.run(run_id).status == "running"
    for index in range(3):
        assert engine.part(training, index) == []
    assert engine.statuses(run_id)["embed/00002"] == "succeeded"
    assert engine.finish(training) == (["score", "project"], [])
    assert engine.finish(engine.claim(run_id, "score")) == ([], [])
    assert engine.finish(engine.claim(run_id, "project")) == (["measure"], [])
    assert engine.finish(engine.claim(run_id, "measure")) == (["render"], [])
    engine.finish(engine.claim(run_id, "render"))
    run = engine.run(run_id)
    assert run.status == "succeeded"
    assert run.finished_at >= run.started_at >= run.created_at


def test_offload__queues_each_frame_with_its_checkpoint_and_deletes_it_when_embedded(engine):
    run_id, _ = engine.submit(mode="offload")
    training = engine.claim(run_id, "fine_tune")
    assert engine.part(training, 0) == ["embed/00000"]
    frame = engine.claim(run_id, "embed/00000")
    wake_ups, spent = engine.finish(frame)
    assert wake_ups == []
    key = training.task.parts[0].key
    assert spent == [f"objects/{key[:2]}/{key}-{run_id}-1"]
    assert engine.part(training, 1) == ["embed/00001"]
    assert engine.part(training, 2) == ["embed/00002"]
    engine.finish(training)
    engine.finish(engine.claim(run_id, "embed/00001"))
    assert engine.finish(engine.claim(run_id, "embed/00002"))[0] == ["score", "project"]


def test_an_equal_run_is_done_at_once(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, wake_ups = engine.submit()
    assert wake_ups == []
    assert engine.run(second).status == "succeeded"
    assert set(engine.statuses(second).values()) == {"succeeded"}


def test_the_same_run_drawn_otherwise_only_renders(engine):
    first, _ = engine.submit()
    engine.film(first)
    _, wake_ups = engine.submit(fps=20)
    assert wake_ups == ["render"]


def test_another_seed_shares_nothing(engine):
    first, _ = engine.submit()
    engine.film(first)
    assert engine.submit(seed=1)[1] == ["fine_tune"]


def test_event_numbers_have_no_gaps_and_versions_rise(engine):
    run_id, _ = engine.submit()
    before = engine.run(run_id).version
    engine.film(run_id)
    events = engine.events(run_id)
    assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    assert events[0][1] == "run.queued"
    assert events[-1][1] == "run.succeeded"
    assert engine.run(run_id).version > before


@pytest.mark.parametrize("status", [status for status in RunStatus if status.terminal])
def test_a_terminal_run_only_moves_by_retry(status):
    assert TRANSITIONS[status] <= {RunStatus.QUEUED}


def test_move__refuses_an_undeclared_transition(engine):
    run_id, _ = engine.submit()
    engine.film(run_id)
    with pytest.raises(AssertionError, match="cannot become running"), engine.database.writing() as session:
        lifecycle.move(session, session.get_one(RunRow, run_id), RunStatus.RUNNING)
    assert engine.run(run_id).status == "succeeded"


def test_cancel_before_any_worker_came(engine):
    run_id, _ = engine.submit()
    assert engine.call(runs.cancel, run_id).status == "cancelled"
    assert engine.claim(run_id, "fine_tune") is None
    version = engine.run(run_id).version
    assert engine.call(runs.cancel, run_id).status == "cancelled"
    assert engine.run(run_id).version == version + 1


def test_plan_of__is_parsed_once(engine):
    first, second = (engine.submit(seed=seed)[0] for seed in (1, 2))
    with engine.database.reading() as session:
        plans = [lifecycle.plan_of(runs.get(session, run_id)) for run_id in (first, first, second)]
    assert plans[0] is plans[1]
    assert plans[0].keys != plans[2].keys


def test_plan_of__the_oldest_is_forgotten(engine, monkeypatch):
    monkeypatch.setattr(lifecycle, "PLANS_KEPT", 2)
    monkeypatch.setattr(lifecycle, "_plans", kept := {})
    accepted = [engine.submit(seed=seed)[0] for seed in (1, 2, 3)]
    with engine.database.reading() as session:
        for run_id in accepted:
            lifecycle.plan_of(runs.get(session, run_id))
    assert list(kept) == accepted[1:]
