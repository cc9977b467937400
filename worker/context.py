"""What a stage function sees of the world: its spec, its inputs, a folder to write to, and a way to report."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.domain.plan import SKIPPED, Part, Plan, PlannedStage
from core.domain.spec import RunSpec
from core.domain.stages import EMBED
from core.errors import NotReadyError
from core.settings import Settings
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.stored import Stored

ReportCallback = Callable[..., None]

PATIENCE_SECONDS = 10.0
"""So long a stage that was asked to stop may look for a good moment."""


class StoppedError(Exception):
    """The stage was asked to stop, and has done so."""


def _unheard(kind: str, **message: object) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class StageContext:
    """One attempt at one stage, in the child process.

    Attributes:
        inputs: where the artifacts that the stage reads are, by key.
        dataset: where the uploaded dataset of the run is, None for any other.
        weights: where the weights are that the run begins with, None where no run has made them.
        state: what the stage continues from, None: it begins.
        output: an empty folder; what is in it when the stage function returns is published as its artifact.
        pins: the revision that each hub id of the run is bound to by now.
        report: sends a message to the supervisor.
        stop: when the stage was asked to stop (`time.monotonic`), empty before.
    """

    spec: RunSpec
    plan: Plan
    stage: PlannedStage
    settings: Settings
    store: ArtifactStore
    inputs: Mapping[str, Stored]
    dataset: Stored | None
    weights: Stored | None
    state: Stored | None
    output: Path
    pins: Mapping[str, str]
    report: ReportCallback
    stop: list[float] = field(default_factory=list)

    def without_report(self) -> "StageContext":
        """The same for another process that takes part in this stage: what it would report is dropped."""
        return replace(self, report=_unheard)

    def stored(self, key: str) -> Path:
        """Folder of an artifact that the stage reads."""
        return self.store.folder(self.inputs[key])

    def input(self, name: str) -> Path:
        """Folder of the finished artifact of a stage of one task, by the name of the stage."""
        return self.stored(self.plan.stage(name).key)

    def frames(self) -> list[Path]:
        """Folders of the embedded frames, in order."""
        return self.captured(stage.key for stage in self.plan.tasks(EMBED))

    def captured(self, keys: Iterable[str]) -> list[Path]:
        """Folders of those of these frames that are there: a training may have ended before the last of them."""
        folders = self.store.folders(self.inputs[key] for key in keys)
        return [folder for folder in folders if not (folder / SKIPPED).exists()]

    def checkpoint(self) -> Path:
        """Folder of the stored checkpoint that this stage embeds."""
        (key,) = self.plan.released_to(self.stage.id)
        return self.stored(key)

    def trained(self) -> Path:
        """Folder of the model that the run begins with.

        Raises:
            NotReadyError: it is not stored any more.
        """
        if self.weights is None:
            raise NotReadyError(f"The weights of {self.spec.model} are not stored.")
        return self.store.folder(self.weights)

    def progress(self, done: int, total: int) -> None:
        """Say how far this stage is."""
        self.report("progress", done=done, total=total)

    def tell(self, event: str, **data: object) -> None:
        """Add an event of this stage to the run's."""
        self.report("event", event=event, data=data)

    def publish(self, part: Part, folder: Path, facts: dict[str, Any]) -> None:
        """Hand a complete part over: it is published while this stage goes on."""
        self.report("part", part_id=part.id, folder=str(folder), facts=facts)

    def keep_state(self, folder: Path, *, step: int) -> None:
        """Hand over what this stage continues from should its worker be lost; an earlier one is then forgotten."""
        self.report("state", folder=str(folder), step=step)

    def beside(self, name: str) -> Path:
        """A new folder beside the output, for what is handed over while the stage goes on."""
        folder = self.output.with_name(f"{self.output.name}-{name.replace('/', '-')}")
        folder.mkdir(exist_ok=True)
        return folder

    def frame_part(self, index: int) -> Part:
        """The part of this stage that belongs to frame `index`."""
        frame = self.plan.tasks(EMBED)[index].id
        return next(part for part in self.stage.parts if part.stage == frame)

    def pin(self, source: str, revision: str) -> None:
        """Record which revision a hub id resolved to."""
        self.report("pin", source=source, revision=revision)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Inside, SIGTERM is a request that `look` answers; outside it ends the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda *_: self.stop.append(time.monotonic()))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def look(self) -> None:
        """Stop where there was no better moment in the time there is.

        Raises:
            StoppedError: the stage was asked to stop some time ago.
        """
        if self.stop and time.monotonic() - self.stop[0] > PATIENCE_SECONDS:
            raise StoppedError
