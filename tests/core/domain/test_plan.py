from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.plan import build
from core.domain.schedule import candidate_steps, capture_steps
from core.domain.spec import PinnedSources, RunSpec
from core.domain.stages import EMBED


def spec(**sections):
    plain = RunSpec(name="run", dataset="digits", pinned=PinnedSources(dataset_digest="d"))
    return RunSpec.model_validate(plain.model_dump() | sections)


def keys(plan):
    return {stage.id: stage.key for stage in plan.tasks}


def test_plan__every_stage_comes_after_its_needs():
    seen = set()
    for stage in build(spec()).tasks:
        assert seen.issuperset(stage.needs)
        seen.add(stage.id)


def test_the_plan_is_pure():
    assert build(spec()) == build(spec())


@pytest.mark.parametrize(
    ("sections", "changed"),
    [
        ({"render": {"fps": 20}}, {"render"}),
        ({"name": "other"}, {"render"}),
        ({"align": {"method": "none"}}, {"project", "measure", "render"}),
        ({"score": {"k": 5}}, {"score", "measure", "render"}),
        ({"capture": {"mode": "offload"}}, {"fine_tune", "measure", "render"}),
    ],
)
def test_keys__a_field_changes_the_stages_that_read_it_and_later_ones(sections, changed):
    before, after = keys(build(spec())), keys(build(spec(**sections)))
    assert {stage for stage in before if before[stage] != after[stage]} == changed


@pytest.mark.parametrize("sections", [{"train": {"seed": 1}}, {"dataset": "other"}, {"model": "vit-small"}])
def test_keys__training_settings_change_all(sections):
    before, after = keys(build(spec())), keys(build(spec(**sections)))
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize("changes", [{"patience": 3}, {"patience": 2, "min_delta": 0.1}])
def test_when_it_ends_early_changes_every_key(changes):
    plain, before = keys(build(spec())), keys(build(spec(train={"early_stopping": {"patience": 2}})))
    after = keys(build(spec(train={"early_stopping": changes})))
    assert len({*plain.values(), *before.values(), *after.values()}) == 3 * len(plain)


def test_each_frame_is_supplied_by_the_training():
    for mode, effect in (("inline", "completes"), ("offload", "releases")):
        plan = build(spec(capture={"mode": mode, "frames": 4}))
        parts = plan.task("fine_tune").parts
        assert [part.task for part in parts] == [stage.id for stage in plan.tasks_of(EMBED)]
        assert {part.effect for part in parts} == {effect}


@given(st.data())
def test_capture_steps_rise_from_zero_to_the_end(data):
    steps = data.draw(st.integers(1, 3000))
    frames = data.draw(st.integers(2, min(steps + 1, 600)))
    chosen = capture_steps(steps, frames, spacing=data.draw(st.sampled_from(["even", "log"])))
    assert (chosen[0], chosen[-1], len(chosen)) == (0, steps, frames)
    assert all(before < after for before, after in pairwise(chosen))


@given(st.data())
def test_candidates_rise_from_zero_to_the_end_and_suffice(data):
    steps = data.draw(st.integers(1, 3000))
    frames = data.draw(st.integers(2, min(steps + 1, 600)))
    candidates = candidate_steps(steps, frames)
    assert (candidates[0], candidates[-1]) == (0, steps)
    assert len(candidates) >= frames
    assert all(before < after for before, after in pairwise(candidates))


def test_plan__with_drift_no_frame_has_a_step():
    plan = build(spec(capture={"spacing": "drift", "frames": 4}, train={"keep_weights": "last"}))
    assert plan.steps == candidate_steps(300, 4)
    assert [part.step for part in plan.task("fine_tune").parts] == [None] * 4 + [300]
    assert len(plan.tasks_of(EMBED)) == 4
    assert not set(keys(plan).values()) & set(keys(build(spec(capture={"frames": 4}))).values())
