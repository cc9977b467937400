"""What a stage function sees of the world: its spec, its inputs, a folder to write to, and a way to report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.domain.plan import Part, Plan, PlannedStage, StageName
from core.domain.spec import RunSpec
from core.settings import Settings
from core.store.artifacts import ArtifactStore

Report = Callable[..., None]


def _unheard(kind: str, **message: object) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class StageContext:
    """One attempt at one stage, in the child process.

    Attributes:
        output: an empty folder; what is in it when the stage function returns is published as its artifact.
        pins: the revision that each hub id of the run is bound to by now.
        report: sends a message to the supervisor.
    """

    spec: RunSpec
    plan: Plan
    stage: PlannedStage
    settings: Settings
    store: ArtifactStore
    output: Path
    pins: Mapping[str, str]
    report: Report

    def without_report(self) -> "StageContext":
        """The same for another process that takes part in this stage: what it would report is dropped."""
        return replace(self, report=_unheard)

    def input(self, name: StageName) -> Path:
        """Folder of the finished artifact of a stage that is one task."""
        return self.store.path(self.plan.named(name)[0].key)

    def frames(self) -> list[Path]:
        """Folders of the embedded frames, in order."""
        return [self.store.path(stage.key) for stage in self.plan.named(StageName.EMBED)]

    def checkpoint(self, index: int) -> Path:
        """Folder of the stored checkpoint that an offloaded frame is embedded from."""
        return self.store.path(self._part_of_frame(index).key)

    def progress(self, done: int, total: int) -> None:
        """Say how far this stage is."""
        self.report("progress", done=done, total=total)

    def part(self, index: int) -> tuple[Part, Path]:
        """The part that belongs to frame `index`, and a folder beside the output to write it to."""
        part = self._part_of_frame(index)
        folder = self.output.with_name(f"{self.output.name}-{part.id.replace('/', '-')}")
        folder.mkdir(exist_ok=True)
        return part, folder

    def publish(self, part: Part, folder: Path, facts: dict[str, Any]) -> None:
        """Hand a complete part over: it is published while this stage goes on."""
        self.report("part", part_id=part.id, folder=str(folder), facts=facts)

    def pin(self, source: str, revision: str) -> None:
        """Record which revision a hub id resolved to."""
        self.report("pin", source=source, revision=revision)

    def _part_of_frame(self, index: int) -> Part:
        frame = self.plan.named(StageName.EMBED)[index].id
        fine_tune = self.plan.named(StageName.FINE_TUNE)[0]
        return next(part for part in fine_tune.parts if part.stage == frame)
