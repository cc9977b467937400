"""The data of one attempt at one task. The supervisor makes it, and the child process receives it."""

from dataclasses import dataclass, field
from pathlib import Path

from core import logs
from core.domain.plan import Plan, PlannedTask
from core.domain.spec import RunSpec
from core.settings import Settings
from core.store.engine.claim import Claim
from core.store.objects.stored import Stored

STAGES_MODULE = "worker.stages"
"""Module whose table `STAGES` has the function of each task. Tests of the engine name a module with stubs."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt at one task, as plain data.

    Attributes:
        claim: the claim of the attempt.
        output: empty folder. Its content is published as the artifact of the task.
        settings: settings of the worker.
        stages: module with the functions of the stages.
        pins: pinned revision of each hub id that the task may load.
        inputs: stored artifacts that the task reads, by key.
        dataset: stored folder of an uploaded dataset; None for another dataset.
        weights: stored weights that the training starts from; None if it starts from a preset or a hub id.
        log_fields: fields of every log line of the child.
    """

    claim: Claim
    output: Path
    settings: Settings
    stages: str = STAGES_MODULE
    pins: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Stored] = field(default_factory=dict)
    dataset: Stored | None = None
    weights: Stored | None = None
    log_fields: dict[str, logs.Field] = field(default_factory=dict)

    @property
    def spec(self) -> RunSpec:
        """The spec of the run."""
        return self.claim.spec

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.claim.plan

    @property
    def task(self) -> PlannedTask:
        """The planned task."""
        return self.claim.task
