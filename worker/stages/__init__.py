"""The stage functions, which run in the child process. Each module `worker.stages.<name>` defines a function `run`.

A module is imported when its stage runs, unless the fork server has imported it before (worker/preload.py).
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
"""Names of the stages' modules, by stage."""

STAGES: Mapping[str, Callable[[StageContext], dict[str, Any]]] = {
    name: partial(_run, module) for name, module in MODULES.items()
}
"""Stage functions, by stage. A function runs one attempt and returns the facts that are stored beside the artifact."""
