"""Artifacts that a run needs outlive the run that made them: initial weights, and the inputs of a comparison."""

import pytest

from core.domain.comparison import compare
from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, ComparedRun, PinnedSources, RenderSpec, RunSpec, TrainSpec
from core.store.engine import artifact_references, artifact_rows, failures, lifecycle
from core.store.queries import runs


def key_of(engine, run_id):
    with engine.database.reading() as session:
        return artifact_references.last_weights(session, run_id).key


def there(engine, key):
    with engine.database.reading() as session:
        return key in artifact_rows.recorded(session, [key])


def film(engine, **options):
    run_id, _ = engine.submit(keep_weights="last", **options)
    engine.film(run_id)
    return run_id


def begin_with(engine, source, *, key=None, seed=0):
    """Finish a run whose model is the weights of the source."""
    spec = RunSpec(
        name="run",
        dataset="digits",
        model=f"run:{source}",
        train=TrainSpec(steps=10, seed=seed),
        capture=CaptureSpec(frames=3),
        pinned=PinnedSources(dataset_digest="d", model_revision=key or key_of(engine, source)),
    )
    run_id = new_id("run")
    engine.call(runs.accept, run_id, spec, build(spec))
    engine.film(run_id)
    return run_id


def remove(engine, run_id):
    return engine.call(runs.remove, run_id).locations


@pytest.mark.parametrize("keep", ["last", "all"])
def test_last__is_of_the_last_step(engine, keep):
    run_id, _ = engine.submit(keep_weights=keep)
    engine.film(run_id)
    with engine.database.reading() as session:
        assert artifact_references.last_weights(session, run_id).facts["step"] == 10
        assert artifact_references.with_weights(session, [run_id]) == {run_id}


def test_last__is_none_before_the_training_and_without_stored_weights(engine):
    without, _ = engine.submit()
    engine.film(without)
    queued, _ = engine.submit(keep_weights="last")
    with engine.database.reading() as session:
        assert (
            artifact_references.last_weights(session, without)
            is artifact_references.last_weights(session, queued)
            is None
        )
        assert artifact_references.with_weights(session, [without, queued]) == set()
        assert artifact_references.with_weights(session, []) == set()


def test_last__is_not_the_initial_weights(engine):
    later = begin_with(engine, film(engine))
    with engine.database.reading() as session:
        assert artifact_references.last_weights(session, later) is None


def test_release__weights_go_with_their_run(engine):
    run_id = film(engine)
    key = key_of(engine, run_id)
    remove(engine, run_id)
    assert not there(engine, key)


def test_release__weights_remain_until_the_last_run_that_needs_them_is_deleted(engine):
    source = film(engine)
    key = key_of(engine, source)
    one, two = begin_with(engine, source), begin_with(engine, source, seed=1)
    with engine.database.reading() as session:
        location = artifact_rows.recorded(session, [key])[key].location
    for run_id in (source, one):
        assert location not in remove(engine, run_id)
        assert there(engine, key)
    assert location in remove(engine, two)
    assert not there(engine, key)


def test_release__weights_stay_with_the_run_that_made_them(engine):
    source = film(engine)
    key = key_of(engine, source)
    remove(engine, begin_with(engine, source))
    assert there(engine, key)


def test_release__another_way_to_capture_the_same_training_keeps_its_weights(engine):
    one, two = film(engine), film(engine, mode="offload")
    assert key_of(engine, one) == key_of(engine, two)
    remove(engine, one)
    assert key_of(engine, two)


def test_a_repeated_training_leaves_the_weights_that_others_begin_with(engine):
    source = film(engine)
    key = key_of(engine, source)
    begin_with(engine, source)
    with engine.database.reading() as session:
        lost = {one: stored for one, stored in runs.stored(session, source).items() if one != key}
    engine.call(runs.retry, source, missing=lost)
    engine.claim(source, "fine_tune")
    assert there(engine, key)


def compare_runs(engine, *run_ids):
    """Finish a comparison of these runs. Returns it and its plan."""
    with engine.database.reading() as session:
        specs = [RunSpec.model_validate(runs.get(session, run_id).spec) for run_id in run_ids]
    shown = [ComparedRun(run=run_id, spec=spec) for run_id, spec in zip(run_ids, specs, strict=True)]
    spec = compare(shown, name="both", render=RenderSpec())
    run_id, plan = new_id("run"), build(spec)
    engine.call(runs.accept, run_id, spec, plan)
    engine.finish(engine.claim(run_id, "render"))
    return run_id, plan.tasks[0]


def test_remove__a_run_keeps_artifacts_of_a_comparison(engine):
    one, other = film(engine), film(engine, fps=24)
    both, task = compare_runs(engine, one, other)
    with engine.database.reading() as session:
        status = runs.get(session, both).status
    assert status == "succeeded"
    remove(engine, one)
    remove(engine, other)
    assert all(there(engine, key) for key in task.shows[0].keys + task.shows[1].keys)
    remove(engine, both)
    assert not any(there(engine, key) for key in task.shows[0].keys + task.shows[1].keys)


def test_remove__a_comparison_keeps_artifacts_of_its_runs(engine):
    one, other = film(engine), film(engine, fps=24)
    both, task = compare_runs(engine, one, other)
    remove(engine, both)
    assert all(there(engine, key) for shown in task.shows for key in shown.keys)
    assert not there(engine, task.key)
    with engine.database.reading() as session:
        assert runs.get(session, one).status == "succeeded"


@pytest.mark.parametrize("mode", ["inline", "offload"])
def test_repeated_training__keeps_artifacts_of_a_comparison(engine, mode):
    one, other = film(engine), film(engine, fps=24)
    both, task = compare_runs(engine, one, other)
    remove(engine, one)
    remove(engine, other)
    again, _ = engine.submit(mode=mode, name="again")
    held = engine.claim(again, "fine_tune")
    if held is None:  # all of its artifacts are stored
        assert engine.statuses(again)["fine_tune"] == "succeeded"
    else:
        engine.call(failures.give_back, held, reason="lost", blame=True, max_attempts=3)
        engine.claim(again, "fine_tune")
    assert all(there(engine, key) for shown in task.shows for key in shown.keys)
    assert remove(engine, both)


def test_drawable__a_comparison_only_while_its_inputs_are_stored(engine):
    one, other = film(engine), film(engine, fps=24)
    both, task = compare_runs(engine, one, other)
    with engine.database.reading() as session:
        plan = lifecycle.plan_of(runs.get(session, both))
        assert runs.can_rerender(session, plan)
    lost = task.shows[0].project
    with engine.database.reading() as session:
        stored = artifact_rows.recorded(session, [lost])
    engine.call(artifact_rows.forget_lost, stored)
    with engine.database.reading() as session:
        assert not runs.can_rerender(session, plan)
