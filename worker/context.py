"""The interface of a stage function to the rest of the service: spec, inputs, output folder, and reports."""

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
"""Sends a message to the supervisor: the kind of the message, and its fields as keyword arguments."""

PATIENCE_SECONDS = 10.0
"""Longest time that a training may continue after a request to stop, until its state can be stored.

This is half of the default `cancel_grace_seconds`, after which the child is killed. Chosen by hand; not measured.
"""


class StoppedError(Exception):
    """The stage has ended because it was asked to stop."""


def _unheard(kind: str, **message: object) -> None:
    """Drop the message."""


@dataclass(frozen=True)
class StageContext:
    """One attempt at one stage, in the child process.

    Attributes:
        spec: spec of the run.
        plan: plan of the run.
        stage: the task that is run.
        settings: settings of the operator.
        store: store of the artifacts.
        inputs: stored artifacts that the stage reads, by key.
        dataset: stored folder of an uploaded dataset; None for another dataset.
        weights: stored weights that the training starts from; None if it starts from a preset or a hub id, or if the
            weights are not stored any more.
        state: saved state that the stage resumes from; None if it starts from the beginning.
        output: empty folder. When the stage function returns, the content of the folder is published as the artifact.
        pins: pinned revision of each hub id that the stage may load.
        report: sends a message to the supervisor.
        stop: times of the requests to stop (`time.monotonic`), oldest first; empty if there was no request.
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
        """Return a copy for another process of the same stage. The copy drops all reports."""
        return replace(self, report=_unheard)

    def stored(self, key: str) -> Path:
        """Return the folder of an artifact that the stage reads, by key."""
        return self.store.folder(self.inputs[key])

    def input(self, name: str) -> Path:
        """Return the folder of the artifact of another stage, by the stage's name. That stage must have one task."""
        return self.stored(self.plan.stage(name).key)

    def frames(self) -> list[Path]:
        """Return the folders of the captured frames, in order. Skipped frames are left out."""
        return self.captured(stage.key for stage in self.plan.tasks(EMBED))

    def captured(self, keys: Iterable[str]) -> list[Path]:
        """Return the folders of the frames with these keys, in order.

        Skipped frames are left out. A frame is skipped if its training ended early.
        """
        folders = self.store.folders(self.inputs[key] for key in keys)
        return [folder for folder in folders if not (folder / SKIPPED).exists()]

    def checkpoint(self) -> Path:
        """Return the folder of the stored checkpoint that this stage embeds."""
        (key,) = self.plan.released_to(self.stage.id)
        return self.stored(key)

    def trained(self) -> Path:
        """Return the folder of the trained model that the run starts from.

        Raises:
            NotReadyError: the model is not stored.
        """
        if self.weights is None:
            raise NotReadyError(f"The weights of {self.spec.model} are not stored.")
        return self.store.folder(self.weights)

    def progress(self, done: int, total: int) -> None:
        """Report the progress of this stage.

        Args:
            done: number of finished steps or frames.
            total: number of all steps or frames.
        """
        self.report("progress", done=done, total=total)

    def tell(self, event: str, **data: object) -> None:
        """Add an event of this stage to the run's events.

        Args:
            event: type of the event.
            data: fields of the event, as JSON values.
        """
        self.report("event", event=event, data=data)

    def publish(self, part: Part, folder: Path, facts: dict[str, Any]) -> None:
        """Publish a complete part while this stage continues.

        Args:
            part: the part in the plan.
            folder: folder with the files of the part.
            facts: JSON values that are stored beside the artifact.
        """
        self.report("part", part_id=part.id, folder=str(folder), facts=facts)

    def keep_state(self, folder: Path, *, step: int) -> None:
        """Store a state from which the stage resumes if its worker is lost. The state replaces the earlier one.

        Args:
            folder: folder with the files of the state.
            step: optimiser steps done.
        """
        self.report("state", folder=str(folder), step=step)

    def beside(self, name: str) -> Path:
        """Create a folder beside the output, for a part or a state, and return its path.

        Args:
            name: distinguishes the folder from others of this attempt; a slash becomes a hyphen.
        """
        folder = self.output.with_name(f"{self.output.name}-{name.replace('/', '-')}")
        folder.mkdir(exist_ok=True)
        return folder

    def frame_part(self, index: int) -> Part:
        """Return the part of this stage that belongs to the frame with this number, from 0."""
        frame = self.plan.tasks(EMBED)[index].id
        return next(part for part in self.stage.parts if part.stage == frame)

    def pin(self, source: str, revision: str) -> None:
        """Report the revision that a hub id resolved to, so that the service pins the revision.

        Args:
            source: the hub id.
            revision: commit on the hub, or the digest of a dataset.
        """
        self.report("pin", source=source, revision=revision)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Record SIGTERM in `stop` inside the block, instead of ending the process.

        In another thread than the main thread, SIGTERM is not handled, because Python sets handlers only there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda *_: self.stop.append(time.monotonic()))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def look(self) -> None:
        """End the stage if it was asked to stop and its state could not be stored in time.

        Raises:
            StoppedError: the stage was asked to stop more than PATIENCE_SECONDS ago.
        """
        if self.stop and time.monotonic() - self.stop[0] > PATIENCE_SECONDS:
            raise StoppedError
