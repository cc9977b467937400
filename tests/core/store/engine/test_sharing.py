"""Runs that share a training: what one run releases, loses or makes again stays available to the others."""

import pytest

from core.errors import ConflictError, NotReadyError, TrainingDivergedError
from core.store.engine import artifact_rows, failures, recovery
from core.store.queries import runs


def submit_two(engine, **options):
    return [engine.submit(**options)[0] for _ in range(2)]


def give_back(engine, claim):
    engine.call(failures.give_back, claim, reason="asked to stop", blame=False, max_attempts=3)


def recorded(engine, key):
    with engine.database.reading() as session:
        return artifact_rows.recorded(session, [key]).get(key)


def test_checkpoints_that_another_run_embeds_stay(engine):
    one, two = submit_two(engine, mode="offload")
    first, second = engine.claim(one, "fine_tune"), engine.claim(two, "fine_tune")
    assert engine.part(first, 0) == engine.part(second, 0) == ["embed/00000"]
    give_back(engine, first)
    assert engine.claim(one, "fine_tune").unneeded == ()
    embedding = engine.claim(two, "embed/00000")
    assert all(recorded(engine, key) for key in embedding.plan.inputs(embedding.task))


def test_weights_that_another_run_keeps_stay(engine):
    one, two = submit_two(engine, keep_weights="all")
    first, second = engine.claim(one, "fine_tune"), engine.claim(two, "fine_tune")
    index = next(index for index, part in enumerate(second.task.parts) if part.effect == "keeps")
    engine.part(second, index)
    give_back(engine, first)
    engine.claim(one, "fine_tune")
    assert recorded(engine, second.task.parts[index].key)


def test_a_skipped_frame_leaves_no_checkpoint(engine):
    one, two = submit_two(engine, mode="offload")
    first, second = engine.claim(one, "fine_tune"), engine.claim(two, "fine_tune")
    engine.part(first, 0)
    engine.part(second, 0)
    engine.finish(engine.claim(one, "embed/00000"))
    key = first.task.parts[0].key
    location = recorded(engine, key).location
    assert engine.claim(two, "embed/00000").unneeded == (location,)
    assert recorded(engine, key) is None


def test_sharing__an_artifact_made_again_meanwhile_is_kept(engine):
    one, _ = engine.submit()
    engine.film(one)
    two, _ = engine.submit()
    with engine.database.reading() as session:
        key = runs.get(session, one).plan["tasks"][-1]["key"]
    lost = {key: recorded(engine, key)}
    engine.call(runs.retry, one, missing=lost)
    engine.finish(engine.claim(one, "render"))
    anew = recorded(engine, key)
    with pytest.raises(ConflictError, match="none of its artifacts is missing"):
        engine.call(runs.retry, two, missing=lost)
    assert recorded(engine, key) == anew != lost[key]
    assert engine.run(two).status == "succeeded"


def test_a_lost_state_is_forgotten_by_retry(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    engine.state(claim, 5)
    engine.call(failures.fail, claim, NotReadyError("gone"))
    with engine.database.reading() as session:
        stored = runs.stored(session, run_id)
    assert [one.location for one in stored.values()] == ["objects/state-1-5"]
    engine.call(runs.retry, run_id, missing=stored)
    assert engine.claim(run_id, "fine_tune").state is None


def test_a_run_that_was_retried_meanwhile_is_not_timed_out(engine):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    with engine.database.reading() as session:
        assert recovery.overdue(session, deadline_seconds=-1) == [run_id]
    engine.call(failures.fail, claim, TrainingDivergedError("not a number"))
    engine.call(runs.retry, run_id)
    engine.call(recovery.time_out, run_id, deadline_seconds=-1)
    assert engine.run(run_id).status == "queued"
