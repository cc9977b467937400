"""The interface between a stage function and the worker: spec, inputs, output folder and reports."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.domain.plan import SKIPPED, Part, Plan, PlannedTask
from core.domain.spec import RunSpec
from core.domain.stages import EMBED
from core.errors import NotReadyError
from core.settings import Settings
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.stored import Stored
from worker.job import Job

ReportCallback = Callable[..., None]
"""Sends a message to the supervisor: the kind of the message, and its fields as keyword arguments."""

STOP_WITHIN_SECONDS = 10.0
"""Longest time that a training may continue after a request to stop, until its state can be stored.

This is half of the default `cancel_grace_seconds`, after which the child is killed. Chosen by hand; not measured.
"""


class StoppedError(Exception):
    """The task was asked to stop and has stopped."""


def _drop_report(kind: str, **message: object) -> None:
    """Drop a report."""


@dataclass(frozen=True)
class StageContext:
    """One attempt at one task, in the child process.

    Attributes:
        job: data of the attempt.
        store: store of the artifacts.
        report: sends a message to the supervisor: its kind, and its fields as keyword arguments.
        stop_requests: time of each request to stop (`time.monotonic`); empty if there is none.
    """

    job: Job
    store: ArtifactStore
    report: ReportCallback
    stop_requests: list[float] = field(default_factory=list)

    @property
    def spec(self) -> RunSpec:
        """The spec of the run."""
        return self.job.spec

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.job.plan

    @property
    def task(self) -> PlannedTask:
        """The planned task."""
        return self.job.task

    @property
    def settings(self) -> Settings:
        """The settings of the worker."""
        return self.job.settings

    @property
    def output(self) -> Path:
        """Empty folder. Its content is published as the artifact when the stage function returns."""
        return self.job.output

    @property
    def pins(self) -> Mapping[str, str]:
        """The pinned revision of each hub id that the task may load."""
        return self.job.pins

    @property
    def dataset(self) -> Stored | None:
        """The stored folder of an uploaded dataset; None for another dataset."""
        return self.job.dataset

    @property
    def state(self) -> Stored | None:
        """The stored state that the task resumes from; None if the task starts from the beginning."""
        return self.job.claim.state

    def without_report(self) -> "StageContext":
        """Return the context for another process of the same task. Its reports are dropped."""
        return replace(self, report=_drop_report)

    def stored(self, key: str) -> Path:
        """Return the folder of an artifact that the task reads."""
        return self.store.folder(self.job.inputs[key])

    def input(self, name: str) -> Path:
        """Return the folder of the artifact of the stage with this name. The stage must have one task."""
        return self.stored(self.plan.task(name).key)

    def frames(self) -> list[Path]:
        """Return the folders of the embedded frames, in order."""
        return self.captured(task.key for task in self.plan.tasks_of(EMBED))

    def captured(self, keys: Iterable[str]) -> list[Path]:
        """Return the folders of these frames without the skipped ones: a training may end before the last frame."""
        folders = self.store.folders(self.job.inputs[key] for key in keys)
        return [folder for folder in folders if not (folder / SKIPPED).exists()]

    def checkpoint(self) -> Path:
        """Return the folder of the checkpoint that this task embeds."""
        (key,) = self.plan.released_to(self.task.id)
        return self.stored(key)

    def trained(self) -> Path:
        """Return the folder of the weights that the training starts from.

        Raises:
            NotReadyError: the weights are not stored any more.
        """
        if self.job.weights is None:
            raise NotReadyError(f"The weights of {self.spec.model} are not stored.")
        return self.store.folder(self.job.weights)

    def progress(self, done: int, total: int) -> None:
        """Report the progress of the task.

        Args:
            done: finished units.
            total: all units.
        """
        self.report("progress", done=done, total=total)

    def emit(self, event: str, **data: object) -> None:
        """Append an event of this task to the events of the run."""
        self.report("event", event=event, data=data)

    def publish(self, part: Part, folder: Path, facts: dict[str, Any]) -> None:
        """Publish a complete part while this task continues.

        Args:
            part: the planned part.
            folder: its files. They belong to the supervisor from now on.
            facts: values that the API returns without reading the files.
        """
        self.report("part", part_id=part.id, folder=str(folder), facts=facts)

    def keep_state(self, folder: Path, *, step: int) -> None:
        """Store the state that this task resumes from if its worker is lost. It replaces an earlier state.

        Args:
            folder: files of the state. They belong to the supervisor from now on.
            step: optimizer step of the state.
        """
        self.report("state", folder=str(folder), step=step)

    def beside(self, name: str) -> Path:
        """Make a folder beside the output, for a part or a state that is published while the task continues."""
        folder = self.output.with_name(f"{self.output.name}-{name.replace('/', '-')}")
        folder.mkdir(exist_ok=True)
        return folder

    def frame_part(self, index: int) -> Part:
        """Return the part of this task that belongs to frame `index`."""
        frame = self.plan.tasks_of(EMBED)[index].id
        return next(part for part in self.task.parts if part.task == frame)

    def pin(self, source: str, revision: str) -> None:
        """Record the revision that a hub id was resolved to."""
        self.report("pin", source=source, revision=revision)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Handle SIGTERM as a request to stop within the block. Outside the block, SIGTERM ends the process."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda *_: self.stop_requests.append(time.monotonic()))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @property
    def stop_requested(self) -> bool:
        """True if the task was asked to stop."""
        return bool(self.stop_requests)

    def raise_if_stopped(self) -> None:
        """Stop the task if it was asked to stop and has had time to store a state.

        Raises:
            StoppedError: the task was asked to stop more than STOP_WITHIN_SECONDS ago.
        """
        if self.stop_requests and time.monotonic() - self.stop_requests[0] > STOP_WITHIN_SECONDS:
            raise StoppedError
