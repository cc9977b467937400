"""What each stage does, in the child process: the module `worker.stages.<name>` has a function `run`.

A module is imported when its stage runs, or by the fork server before: see `MODULES`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from core.domain.stages import STAGES as DECLARED
from worker.context import StageContext


def _run(module: str, ctx: StageContext) -> dict[str, Any]:
    facts: dict[str, Any] = import_module(module).run(ctx)
    return facts


MODULES: Mapping[str, str] = {name: f"{__name__}.{name}" for name in DECLARED}
"""The module of each stage."""

STAGES: Mapping[str, Callable[[StageContext], dict[str, Any]]] = {
    name: partial(_run, module) for name, module in MODULES.items()
}
"""Runs one attempt at the stage of this name, and returns the facts that are stored beside its artifact."""
