import time

import pytest

from core.errors import ConflictError, NotFoundError, TrainingDivergedError
from core.store import runs, stages
from core.store import sweep as sweeping
from core.store.artifacts import Stored
from core.store.stages import Standing
from core.store.tables import StageRow


def expire(engine, run_id, stage_id):
    """A claim whose worker was never heard of again."""
    claim = engine.claim(run_id, stage_id, lease=0.0)
    time.sleep(0.002)
    return claim


def sweep(engine, **options):
    return [bell.stage_id for bell in sweeping.sweep(engine.database, **({"max_attempts": 3} | options))]


def test_only_one_worker_gets_a_stage(engine):
    run_id, _ = engine.submit()
    assert engine.claim(run_id, "fine_tune") is not None
    assert engine.claim(run_id, "fine_tune", worker="w2") is None


def test_a_bell_for_a_run_that_is_gone_is_dropped(engine):
    assert engine.claim("run_nobody", "fine_tune") is None


def test_a_waiting_stage_cannot_be_claimed(engine):
    run_id, _ = engine.submit()
    assert engine.claim(run_id, "render") is None


def test_an_expired_lease_goes_back_and_fences_the_old_worker(engine):
    run_id, _ = engine.submit()
    frozen = expire(engine, run_id, "fine_tune")
    assert sweep(engine) == ["fine_tune"]
    healthy = engine.claim(run_id, "fine_tune", worker="w2")
    assert (healthy.attempt, healthy.token > frozen.token) == (2, True)
    assert engine.call(stages.renew, frozen, lease_seconds=30) is Standing.LOST
    assert not engine.call(stages.publishable, frozen)
    assert engine.finish(frozen) == ([], [])
    engine.call(stages.fail, frozen, TrainingDivergedError("stale"))
    engine.call(stages.give_up, frozen)
    assert engine.call(stages.give_back, frozen, reason="stale", blame=True, max_attempts=3) == []
    assert engine.statuses(run_id)["fine_tune"] == "running"
    assert engine.call(stages.renew, healthy, lease_seconds=30) is Standing.HELD


def test_a_held_lease_is_left_alone(engine):
    run_id, _ = engine.submit()
    engine.claim(run_id, "fine_tune")
    assert sweep(engine) == []


def test_attempts_are_capped_with_the_reason(engine):
    run_id, _ = engine.submit()
    for _ in range(2):
        expire(engine, run_id, "fine_tune")
        assert sweep(engine) == ["fine_tune"]
    expire(engine, run_id, "fine_tune")
    assert sweep(engine) == []
    run = engine.run(run_id)
    assert run.status == "failed"
    assert run.error["type"] == "stage-lost"
    assert "worker w1 was not heard of" in run.error["detail"]
    assert set(engine.statuses(run_id).values()) == {"failed", "cancelled"}


def test_a_worker_that_is_asked_to_stop_costs_no_attempt(engine):
    run_id, _ = engine.submit()
    for _ in range(5):
        claim = engine.claim(run_id, "fine_tune")
        assert claim.attempt == 1
        bells = engine.call(stages.give_back, claim, reason="asked to stop", blame=False, max_attempts=3)
        assert [bell.stage_id for bell in bells] == ["fine_tune"]


def test_a_repeated_training_forgets_the_frames_of_the_lost_one(engine):
    run_id, _ = engine.submit()
    lost = expire(engine, run_id, "fine_tune")
    engine.part(lost, 0)
    assert engine.statuses(run_id)["embed/00000"] == "succeeded"
    sweep(engine)
    engine.claim(run_id, "fine_tune")
    assert engine.statuses(run_id)["embed/00000"] == "waiting"
    with engine.database.reading() as session:
        assert stages.recorded(session, lost.stage.parts[0].key) is None


def test_a_retried_training_forgets_the_frames_of_the_failed_one(engine):
    run_id, _ = engine.submit()
    failed = engine.claim(run_id, "fine_tune")
    engine.part(failed, 0)
    engine.call(stages.fail, failed, TrainingDivergedError("not a number"))
    engine.call(runs.retry, run_id)
    assert engine.claim(run_id, "fine_tune").attempt == 1
    assert engine.statuses(run_id)["embed/00000"] == "waiting"


def test_a_given_back_training_forgets_its_frames(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    engine.part(claim, 0)
    engine.call(stages.give_back, claim, reason="asked to stop", blame=False, max_attempts=3)
    engine.claim(run_id, "fine_tune")
    assert engine.statuses(run_id)["embed/00000"] == "waiting"


def test_frames_that_another_run_shares_are_kept(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, bells = engine.submit(mode="offload")
    assert bells == ["fine_tune"]
    expire(engine, second, "fine_tune")
    sweep(engine)
    claim = engine.claim(second, "fine_tune")
    assert claim.attempt == 2
    assert engine.statuses(second)["embed/00000"] == "succeeded"
    assert engine.run(first).status == "succeeded"


def test_an_idle_worker_rings_for_what_is_queued_however_often_others_did(engine):
    engine.submit()
    assert sweep(engine) == []
    for _ in range(3):
        assert sweep(engine, idle_queues=["gpu"]) == ["fine_tune"]
        assert sweep(engine) == []


def test_cancel_of_a_running_stage_is_seen_and_settled(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    assert engine.call(runs.cancel, run_id).status == "cancelling"
    assert engine.call(stages.standing, claim) is Standing.CANCEL
    engine.call(stages.give_up, claim)
    assert engine.run(run_id).status == "cancelled"


def test_cancel_is_forced_when_the_supervisor_is_gone(engine):
    run_id, _ = engine.submit()
    expire(engine, run_id, "fine_tune")
    engine.call(runs.cancel, run_id)
    assert sweep(engine) == []
    assert engine.run(run_id).status == "cancelled"


def test_a_stage_that_ends_while_cancelling_settles_the_run(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    engine.call(runs.cancel, run_id)
    engine.finish(claim)
    assert engine.run(run_id).status == "cancelled"


def test_failure_says_why_and_retry_keeps_finished_stages(engine):
    run_id, _ = engine.submit()
    training = engine.claim(run_id, "fine_tune")
    for index in range(3):
        engine.part(training, index)
    engine.finish(training)
    engine.call(stages.fail, engine.claim(run_id, "score"), TrainingDivergedError("not a number"))
    run = engine.run(run_id)
    assert (run.status, run.error["type"]) == ("failed", "training-diverged")
    _, bells = engine.call(runs.retry, run_id)
    assert [bell.stage_id for bell in bells] == ["score", "project"]
    assert engine.run(run_id).error is None
    assert engine.run(run_id).finished_at is None


def test_retry_of_a_healthy_run_is_refused(engine):
    run_id, _ = engine.submit()
    with pytest.raises(ConflictError, match="queued"):
        engine.call(runs.retry, run_id)


def test_remove_keeps_what_another_run_shares(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, _ = engine.submit(fps=20)
    engine.film(second)
    (orphan,) = engine.call(runs.remove, second)
    with engine.database.reading() as session:
        assert stages.recorded(session, orphan) is None
    assert len(engine.call(runs.remove, first)) == 1 + 3 + 3
    with pytest.raises(NotFoundError):
        engine.run(first)


def test_remove_of_a_running_run_is_refused(engine):
    run_id, _ = engine.submit()
    engine.claim(run_id, "fine_tune")
    with pytest.raises(ConflictError, match="Cancel it"):
        engine.call(runs.remove, run_id)
    assert engine.run(run_id).status == "running"


def test_progress_of_a_lost_claim_is_not_shown(engine):
    run_id, _ = engine.submit()
    lost = expire(engine, run_id, "fine_tune")
    sweep(engine)
    engine.call(stages.progress, lost, done=5, total=10)
    with engine.database.reading() as session:
        from core.store import lifecycle

        assert lifecycle.stages_of(session, run_id)["fine_tune"].done == 0


def test_a_stage_that_nobody_ever_comes_for_does_not_stop_the_sweep(engine):
    run_id, _ = engine.submit()
    with engine.database.writing() as session:
        session.get_one(StageRow, (run_id, "fine_tune")).rings = 5000
    assert sweep(engine, idle_queues=["gpu"]) == ["fine_tune"]
    assert sweep(engine, idle_queues=["cpu"]) == []


def test_nothing_is_measured_before_the_training_has_ended(engine):
    run_id, _ = engine.submit(mode="offload")
    training = engine.claim(run_id, "fine_tune")
    for index in range(3):
        engine.part(training, index)
        engine.finish(engine.claim(run_id, f"embed/{index:05d}"))
    assert engine.statuses(run_id)["score"] == "waiting"
    assert engine.finish(training)[0] == ["score", "project"]


def test_a_checkpoint_that_nobody_needs_is_not_kept(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, _ = engine.submit(mode="offload")
    training = engine.claim(second, "fine_tune")
    assert engine.part(training, 0) == []
    with engine.database.reading() as session:
        assert stages.recorded(session, training.stage.parts[0].key) is None


def test_what_is_published_once_is_not_placed_again(engine):
    first, _ = engine.submit()
    second, _ = engine.submit()
    claims = [engine.claim(run_id, "fine_tune") for run_id in (first, second)]
    placed = []
    for number, claim in enumerate(claims):
        stored = Stored(claim.stage.key, {"file": {"size": 1, "sha256": str(number)}})
        engine.call(stages.finish, claim, stored, {}, place=lambda number=number: placed.append(number))
    assert placed == [0]
    with engine.database.reading() as session:
        assert stages.recorded(session, claims[0].stage.key).files["file"]["sha256"] == "0"


def test_a_stale_bell_changes_nothing(engine):
    run_id, _ = engine.submit()
    engine.claim(run_id, "fine_tune")
    version = engine.run(run_id).version
    assert engine.claim(run_id, "fine_tune", worker="w2") is None
    assert engine.run(run_id).version == version
