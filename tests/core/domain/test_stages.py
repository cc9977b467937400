from dataclasses import replace
from itertools import pairwise

import pytest

from core.domain.plan import build
from core.domain.spec import PinnedSources, RunSpec
from core.domain.stages import STAGES

SPEC = RunSpec(name="run", dataset="digits", pinned=PinnedSources(dataset_digest="d"))


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_stages__each_has_all_fields(stage):
    names = list(STAGES)
    assert set(stage.needs) <= set(names[: names.index(stage.name)]), "a stage stands after those that it needs"
    assert set(stage.inputs) <= set(stage.needs)
    tasks = build(SPEC).tasks_of(stage)
    assert len(tasks) == (SPEC.capture.frames if stage.tasks == "frame" else 1)
    assert {task.queue for task in tasks} == {stage.queue}


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_keys__a_new_format_changes_the_stage_and_later_ones(stage, monkeypatch):
    before = {task.id: task.key for task in build(SPEC).tasks}
    monkeypatch.setitem(STAGES, stage.name, replace(stage, format=99))
    changed = {task.name for task in build(SPEC).tasks if task.key != before[task.id]}
    following = {stage.name}
    for other in STAGES.values():
        if following & set(other.inputs):
            following.add(other.name)
    assert changed == following


def test_stages__in_the_order_of_their_learning():
    assert all(one.learns >= other.learns for one, other in pairwise(STAGES.values()))
