"""Each declared stage has a module."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import worker.stages
from core.domain.stages import STAGES
from worker.context import StageContext


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_has_a_module_that_runs_it(name):
    module = import_module(worker.stages.MODULES[name])
    parameters = list(inspect.signature(module.run).parameters.values())
    assert [parameter.annotation for parameter in parameters] == [StageContext]


def test_each_module_is_a_declared_stage():
    files = {path.stem for path in Path(worker.stages.__file__).parent.glob("*.py")}
    assert files - {"__init__"} == set(STAGES)
