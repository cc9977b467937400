import time

import pytest

from core.errors import TrainingDivergedError
from core.store.engine import artifact_rows, claims, failures, publishing
from core.store.engine.claims import LeaseState
from core.store.objects.stored import Stored
from core.store.queries import artifacts, progress, runs


def expire(engine, run_id, task_id):
    """Return a claim whose worker has stopped renewing its lease."""
    claim = engine.claim(run_id, task_id, lease=0.0)
    time.sleep(0.002)
    return claim


def sweep(engine, **options):
    return [wake_up.task_id for wake_up in engine.sweep(**options)]


def is_recorded(engine, key):
    with engine.database.reading() as session:
        return key in artifact_rows.recorded(session, [key])


def test_only_one_worker_gets_a_stage(engine):
    run_id, _ = engine.submit()
    assert engine.claim(run_id, "fine_tune") is not None
    assert engine.claim(run_id, "fine_tune", worker="w2") is None


def test_claim__of_a_deleted_run_is_none(engine):
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
    assert engine.call(claims.renew, frozen, lease_seconds=30) is LeaseState.LOST
    assert not engine.call(claims.in_force, frozen)
    assert engine.finish(frozen) == ([], [f"objects/{frozen.task.key[:2]}/{frozen.task.key}-{run_id}-1"])
    assert not is_recorded(engine, frozen.task.key)
    engine.call(failures.fail, frozen, TrainingDivergedError("stale"))
    engine.call(failures.give_up, frozen)
    assert engine.call(failures.give_back, frozen, reason="stale", blame=True, max_attempts=3) == claims.Published()
    assert engine.statuses(run_id)["fine_tune"] == "running"
    assert engine.call(claims.renew, healthy, lease_seconds=30) is LeaseState.HELD


def test_sweep__leaves_a_valid_lease(engine):
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
    assert "worker w1 stopped renewing its lease" in run.error["detail"]
    assert set(engine.statuses(run_id).values()) == {"failed", "cancelled"}


def test_requeue__by_a_stopping_worker_costs_no_attempt(engine):
    run_id, _ = engine.submit()
    for _ in range(5):
        claim = engine.claim(run_id, "fine_tune")
        assert claim.attempt == 1
        given = engine.call(failures.give_back, claim, reason="asked to stop", blame=False, max_attempts=3)
        assert [wake_up.task_id for wake_up in given.wake_ups] == ["fine_tune"]


def test_a_repeated_training_forgets_the_frames_of_the_lost_one(engine):
    run_id, _ = engine.submit()
    lost = expire(engine, run_id, "fine_tune")
    engine.part(lost, 0)
    assert engine.statuses(run_id)["embed/00000"] == "succeeded"
    sweep(engine)
    again = engine.claim(run_id, "fine_tune")
    assert engine.statuses(run_id)["embed/00000"] == "waiting"
    key = lost.task.parts[0].key
    assert again.unneeded == (f"objects/{key[:2]}/{key}-{run_id}-1",)
    assert not is_recorded(engine, key)


def test_a_retried_training_forgets_the_frames_of_the_failed_one(engine):
    run_id, _ = engine.submit()
    failed = engine.claim(run_id, "fine_tune")
    engine.part(failed, 0)
    engine.call(failures.fail, failed, TrainingDivergedError("not a number"))
    engine.call(runs.retry, run_id)
    assert engine.claim(run_id, "fine_tune").attempt == 1
    assert engine.statuses(run_id)["embed/00000"] == "waiting"


def test_a_given_back_training_forgets_its_frames(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    engine.part(claim, 0)
    engine.call(failures.give_back, claim, reason="asked to stop", blame=False, max_attempts=3)
    engine.claim(run_id, "fine_tune")
    assert engine.statuses(run_id)["embed/00000"] == "waiting"


def end_early(engine, claim):
    """Publish a film of two frames of three, and the weights under the planned step."""
    for index, skipped in ((0, False), (1, False), (3, False), (2, True)):
        engine.part(claim, index, skipped=skipped)


def filmed(engine, run_id):
    """Return the indices of the stored frames, the frames of the events, and the number of skipped frames."""
    with engine.database.reading() as session:
        frames = [frame.index for frame in artifacts.frames(session, runs.get(session, run_id))]
        events = runs.events(session, run_id, after=0, limit=1000)
        told = [event.data["frame"] for event in events if event.type == "checkpoint"]
        return frames, told, progress.skipped_frames(session, [run_id, "run_nobody"])


def test_a_training_that_ends_early_leaves_a_shorter_film(engine):
    run_id, _ = engine.submit(patience=1, keep_weights="last")
    training = engine.claim(run_id, "fine_tune")
    assert filmed(engine, run_id) == ([], [], {})
    end_early(engine, training)
    engine.finish(training)
    engine.film(run_id)
    assert engine.run(run_id).status == "succeeded"
    assert filmed(engine, run_id) == ([0, 1], [0, 1], {run_id: 1})
    again, _ = engine.submit(patience=1, keep_weights="last", fps=20)
    engine.film(again)
    assert filmed(engine, again) == ([0, 1], [], {again: 1})


def test_a_training_that_is_lost_while_it_ends_early_skips_again(engine):
    run_id, _ = engine.submit(patience=1, keep_weights="last")
    lost = expire(engine, run_id, "fine_tune")
    engine.part(lost, 0)
    engine.part(lost, 1)
    engine.state(lost, 5)
    engine.part(lost, 3)
    engine.part(lost, 2, skipped=True)
    sweep(engine)
    again = engine.claim(run_id, "fine_tune")
    assert not is_recorded(engine, lost.task.parts[2].key)
    assert not is_recorded(engine, lost.task.parts[3].key)
    assert filmed(engine, run_id) == ([0, 1], [0, 1], {})
    engine.part(again, 3)
    engine.part(again, 2, skipped=True)
    engine.finish(again)
    engine.film(run_id)
    assert filmed(engine, run_id) == ([0, 1], [0, 1], {run_id: 1})


def test_frames_that_another_run_shares_are_kept(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, wake_ups = engine.submit(mode="offload")
    assert wake_ups == ["fine_tune"]
    expire(engine, second, "fine_tune")
    sweep(engine)
    claim = engine.claim(second, "fine_tune")
    assert claim.attempt == 2
    assert engine.statuses(second)["embed/00000"] == "succeeded"
    assert engine.run(first).status == "succeeded"


def test_cancel__a_running_task_sees_it_and_ends(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    assert engine.call(runs.cancel, run_id).status == "cancelling"
    assert engine.call(claims.lease_state, claim) is LeaseState.CANCEL
    engine.call(failures.give_up, claim)
    assert engine.run(run_id).status == "cancelled"


def test_cancel__is_completed_by_the_sweep_without_a_supervisor(engine):
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


def test_progress_of_a_lost_claim_is_not_shown(engine):
    run_id, _ = engine.submit()
    lost = expire(engine, run_id, "fine_tune")
    sweep(engine)
    engine.call(claims.progress, lost, done=5, total=10)
    with engine.database.reading() as session:
        from core.store.engine import lifecycle

        assert lifecycle.tasks_of(session, run_id)["fine_tune"].done == 0


def test_plan__score_waits_until_the_training_has_ended(engine):
    run_id, _ = engine.submit(mode="offload")
    training = engine.claim(run_id, "fine_tune")
    for index in range(3):
        engine.part(training, index)
        engine.finish(engine.claim(run_id, f"embed/{index:05d}"))
    assert engine.statuses(run_id)["score"] == "waiting"
    assert engine.finish(training)[0] == ["score", "project"]


def test_publish__a_checkpoint_that_is_not_needed_is_deleted(engine):
    first, _ = engine.submit()
    engine.film(first)
    second, _ = engine.submit(mode="offload")
    training = engine.claim(second, "fine_tune")
    assert engine.part(training, 0) == []
    assert not is_recorded(engine, training.task.parts[0].key)


def test_publish__a_published_artifact_is_not_replaced(engine):
    first, _ = engine.submit()
    second, _ = engine.submit()
    claims = [engine.claim(run_id, "fine_tune") for run_id in (first, second)]
    made = [Stored(f"objects/{claim.run_id}", {}) for claim in claims]
    unneeded = [
        engine.call(publishing.finish, claim, one, {}).unneeded for claim, one in zip(claims, made, strict=True)
    ]
    assert unneeded == [(), (f"objects/{second}",)]
    with engine.database.reading() as session:
        assert artifact_rows.recorded(session, [claims[0].task.key])[claims[0].task.key] == made[0]


def test_a_queued_stage_that_another_run_has_made_meanwhile_is_skipped(engine):
    (first, _), (second, wake_ups), (third, _) = engine.submit(), engine.submit(), engine.submit(fps=20)
    assert wake_ups == ["fine_tune"]
    engine.film(first)
    assert engine.claim(second, "fine_tune") == claims.Published()
    assert engine.run(second).status == "succeeded"
    assert [wake_up.task_id for wake_up in engine.claim(third, "fine_tune").wake_ups] == ["render"]
    engine.finish(engine.claim(third, "render"))
    assert engine.run(third).status == "succeeded"


def test_a_commit_whose_answer_was_lost_is_not_undone_by_its_repetition(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    for index in range(3):
        engine.part(claim, index)
        engine.part(claim, index)
    engine.state(claim, 5)
    assert engine.state(claim, 5) == []
    assert engine.finish(claim)[1] == ["objects/state-1-5"]
    assert engine.finish(claim) == ([], [])


@pytest.mark.parametrize("spacing", ["even", "drift"])
def test_a_training_continues_from_its_state_and_keeps_the_frames_up_to_it(engine, spacing):
    run_id, _ = engine.submit(spacing=spacing)
    lost = expire(engine, run_id, "fine_tune")
    assert lost.state is None
    for index in range(3):
        engine.part(lost, index)
    assert engine.state(lost, 2) == []
    assert engine.state(lost, 5) == ["objects/state-1-2"]
    sweep(engine)
    again = engine.claim(run_id, "fine_tune")
    assert again.state == Stored("objects/state-1-5", {})
    statuses = engine.statuses(run_id)
    assert [statuses[f"embed/{index:05d}"] for index in range(3)] == ["succeeded", "succeeded", "waiting"]
    assert len(again.unneeded) == 1
    with engine.database.reading() as session:
        started = [one.data for one in runs.events(session, run_id, after=0, limit=99) if one.type == "stage.started"]
    assert [one.get("resumed_step") for one in started] == [None, 5]
    engine.part(again, 2)
    assert engine.finish(again) == (["score", "project"], ["objects/state-1-5"])


def test_checkpoints_beyond_the_state_are_taken_back_before_anybody_embeds_them(engine):
    run_id, _ = engine.submit(mode="offload", spacing="drift")
    lost = expire(engine, run_id, "fine_tune")
    for index in range(3):
        assert engine.part(lost, index) == [f"embed/{index:05d}"]
    engine.state(lost, 5)
    sweep(engine)
    again = engine.claim(run_id, "fine_tune")
    statuses = engine.statuses(run_id)
    assert [statuses[f"embed/{index:05d}"] for index in range(3)] == ["queued", "queued", "waiting"]
    assert len(again.unneeded) == 1


def test_a_training_that_gets_further_each_time_may_be_lost_often(engine):
    run_id, _ = engine.submit()
    for step in range(6):
        engine.state(expire(engine, run_id, "fine_tune"), step)
        assert sweep(engine) == ["fine_tune"]
    for expected in (["fine_tune"], []):
        expire(engine, run_id, "fine_tune")
        assert sweep(engine) == expected
    assert engine.run(run_id).error["type"] == "stage-lost"


def test_a_stale_worker_leaves_no_state(engine):
    run_id, _ = engine.submit()
    frozen = expire(engine, run_id, "fine_tune")
    sweep(engine)
    assert engine.state(frozen, 5) == ["objects/state-1-5"]
    assert engine.claim(run_id, "fine_tune").state is None


def test_a_state_that_cannot_be_used_is_forgotten(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    engine.part(claim, 0)
    engine.state(claim, 5)
    given = engine.call(failures.begin_anew, claim, reason="broken", max_attempts=3)
    assert (given.unneeded, len(given.wake_ups)) == (("objects/state-1-5",), 1)
    again = engine.claim(run_id, "fine_tune")
    assert (again.state, again.attempt) == (None, 2)
    assert engine.statuses(run_id)["embed/00000"] == "waiting"


def test_state__a_retry_resumes_from_it_and_a_removal_deletes_it(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    engine.state(claim, 5)
    engine.call(runs.cancel, run_id)
    engine.call(failures.give_up, claim)
    engine.call(runs.retry, run_id)
    again = engine.claim(run_id, "fine_tune")
    assert again.state.location == "objects/state-1-5"
    engine.call(runs.cancel, run_id)
    engine.call(failures.give_up, again)
    assert "objects/state-1-5" in engine.call(runs.remove, run_id).locations


def test_kept_weights_are_published_and_taken_back_with_their_training(engine):
    run_id, _ = engine.submit(keep_weights="all")
    lost = expire(engine, run_id, "fine_tune")
    weights = [index for index, part in enumerate(lost.task.parts) if part.effect == "keeps"]
    assert len(weights) == 3
    for index in weights:
        assert engine.part(lost, index) == []
    engine.state(lost, 5)
    sweep(engine)
    again = engine.claim(run_id, "fine_tune")
    kept = [is_recorded(engine, lost.task.parts[index].key) for index in weights]
    assert kept == [True, True, False]
    for index in range(len(again.task.parts)):
        engine.part(again, index)
    assert engine.finish(again)[0] == ["score", "project"]
    assert engine.submit(keep_weights="all")[1] == ["score", "project"]


def test_a_run_that_takes_too_long_is_ended_with_the_reason(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    assert sweep(engine) == []
    assert sweep(engine, deadline_seconds=0.0) == []
    run = engine.run(run_id)
    assert (run.status, run.error["type"]) == ("failed", "run-timed-out")
    assert engine.call(claims.renew, claim, lease_seconds=30) is LeaseState.LOST
    assert set(engine.statuses(run_id).values()) == {"failed", "cancelled"}
    engine.call(runs.retry, run_id)
    assert sweep(engine, deadline_seconds=0.0) == []
    assert engine.run(run_id).status == "queued"


def test_claim__a_second_claim_changes_nothing(engine):
    run_id, _ = engine.submit()
    engine.claim(run_id, "fine_tune")
    version = engine.run(run_id).version
    assert engine.claim(run_id, "fine_tune", worker="w2") is None
    assert engine.run(run_id).version == version
