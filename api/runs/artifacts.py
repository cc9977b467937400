"""Read the results of a run from its artifacts. Arrays are memory-mapped and never loaded as a whole."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from fastapi import Depends

from api.access.services import service
from api.http.files import StoredFile
from api.http.ids import run_of
from api.runs.schemas import CheckpointOut
from core.domain.arrays import OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.quality import SIGNIFICANT_DIGITS, json_number
from core.domain.run import RunStatus
from core.domain.stages import FINE_TUNE, PROJECT, RENDER, SCORE
from core.errors import NotFoundError, NotReadyError
from core.store.database.session import Database
from core.store.database.tables import RunRow
from core.store.objects import codecs
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.stored import Stored
from core.store.queries import artifacts, runs
from core.store.queries.artifacts import FrameArtifact

Record = TypeVar("Record")
LOGGED = tuple(field.name for field in fields(TrainingLog))
PIECE_CHARACTERS = 1 << 16
"""Minimum size of a streamed piece of CSV, characters. Chosen by hand; not measured."""

MOST_FOLLOWED = 1000
"""Largest `limit` for which `outliers` includes trajectories. It bounds the size of the response.

Chosen by hand; not measured.
"""


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """Films, frames, tables and arrays of one tenant's runs.

    Attributes:
        database: where artifacts are recorded.
        store: where files of artifacts are stored.
        tenant: owner of the runs.
    """

    database: Database
    store: ArtifactStore
    tenant: str

    def for_tenant(self, tenant: str) -> Self:
        """Return the same service for another tenant."""
        return replace(self, tenant=tenant)

    def file(self, run_id: str, stage: str, name: str) -> StoredFile:
        """Return a file of a stage's artifact.

        Args:
            run_id: the run.
            stage: name of the stage.
            name: path of the file in the artifact.

        Raises:
            NotFoundError: the tenant has no such run, or the artifact has no such file.
            NotReadyError: the stage has not finished.
        """
        with self.database.reading() as session:
            run = run_of(session, run_id, self.tenant)
            row = artifacts.artifact(session, run, stage)
        if row is None:
            raise not_there(run, stage)
        if name not in row.files:
            raise runs.missing(run_id, name)
        return StoredFile(self.store.file(Stored(row.location, row.files), name), row.files[name]["sha256"])

    def checkpoints(self, run_id: str) -> list[CheckpointOut]:
        """Return the checkpoints whose embeddings are stored, in order.

        Raises:
            NotFoundError: the tenant has no such run.
        """
        with self.database.reading() as session:
            run = run_of(session, run_id, self.tenant)
            return [_row(frame) for frame in artifacts.frames(session, run)]

    def log(self, run_id: str) -> Iterator[str]:
        """Yield the training log as CSV: a header, then a row for each logged step. Missing values are empty cells.

        Raises:
            NotFoundError: the tenant has no such run.
            NotReadyError: the training has not finished.
        """
        log = self._record(run_id, FINE_TUNE.name, "log", TrainingLog)
        measured = {row.step: row.accuracy for row in self.checkpoints(run_id)}
        accuracy = [measured.get(step) for step in log.step.tolist()]
        columns = [getattr(log, name) for name in LOGGED]
        return _csv((*LOGGED, "accuracy"), [*columns, np.array(accuracy, np.float64)])

    def outliers(self, run_id: str, *, frame: int | None, limit: int) -> dict[str, Any]:
        """Return the probe images of a frame, most outlying first.

        Args:
            run_id: the run.
            frame: index of the frame; None means the last frame.
            limit: maximum number of images.

        Returns:
            `frame`, the number of `frames`, and `outliers` in the order of descending `distance`.

        Raises:
            NotFoundError: the tenant has no such run, or the run has no such frame.
            NotReadyError: the scores are not stored.
        """
        scores = self._record(run_id, SCORE.name, "scores", OutlierScores)
        probe = self._record(run_id, FINE_TUNE.name, "probe", ProbeSet)
        index = _frame(run_id, frame, len(scores.distance))
        worst = np.argsort(-scores.distance[index], kind="stable")[:limit]
        listed = [
            {
                "image": int(image),
                "row": int(probe.rows[image]),
                "label": int(probe.labels[image]),
                "class": probe.class_names[probe.labels[image]],
                "distance": json_number(scores.distance[index, image]),
                "cleanlab": json_number(scores.cleanlab[index, image]),
                "trajectory": [json_number(score) for score in scores.distance[:, image]]
                if limit <= MOST_FOLLOWED
                else None,
            }
            for image in worst
        ]
        return {"frame": index, "frames": len(scores.distance), "outliers": listed}

    def projection(self, run_id: str, *, frame: int | None) -> Iterator[str]:
        """Yield the film's layout as JSON, in pieces of one frame.

        Args:
            run_id: the run.
            frame: index of the only frame to return; None returns all frames.

        Raises:
            NotFoundError: the tenant has no such run, or the run has no such frame.
            NotReadyError: the projection is not stored.
        """
        layout = self._record(run_id, PROJECT.name, "projection", Projection)
        probe = self._record(run_id, FINE_TUNE.name, "probe", ProbeSet)
        wanted = range(len(layout.points)) if frame is None else [_frame(run_id, frame, len(layout.points))]
        facts = {row.index: row.model_dump() for row in self.checkpoints(run_id)}
        head = {
            "frames": [facts.get(index, {"index": index}) for index in wanted],
            "labels": probe.labels.tolist(),
            "rows": probe.rows.tolist(),
            "class_names": probe.class_names,
            "explained_variance": [json_number(layout.explained_variance[index]) for index in wanted],
            "smoothing": layout.smoothing,
        }
        return _with_points(head, layout.points, wanted)

    def _record(self, run_id: str, stage: str, name: str, kind: type[Record]) -> Record:
        with self.database.reading() as session:
            run = run_of(session, run_id, self.tenant)
            row = artifacts.artifact(session, run, stage)
        if row is None:
            raise not_there(run, stage)
        try:
            return codecs.load(self.store.folder(Stored(row.location, row.files)) / name, kind)
        except FileNotFoundError as error:
            raise NotReadyError(
                f"{name} of run {run_id} is not stored any more. Retry the run to make it again."
            ) from error


Artifacts = Annotated[RunArtifacts, Depends(service(RunArtifacts))]
"""The artifacts of the runs of the caller's tenant."""


def not_there(run: RunRow, stage: str) -> NotFoundError | NotReadyError:
    """Return the error for a stage whose artifact is not stored."""
    if runs.is_comparison(run) and stage != RENDER.name:
        return NotFoundError(
            f"Run {run.id} is a comparison and has no stage {stage}. Use one of the runs that it shows."
        )
    if RunStatus(run.status).terminal:
        return NotReadyError(
            f"Run {run.id} is {run.status} and has no stored result of its stage {stage}. Retry the run."
        )
    return NotReadyError(
        f"The stage {stage} of run {run.id} is not done yet; the run is {run.status}. GET /v1/runs/{run.id} shows "
        "the progress."
    )


def _frame(run_id: str, frame: int | None, frames: int) -> int:
    if frame is None:
        return frames - 1
    if frame >= frames:
        raise NotFoundError(f"Run {run_id} has no frame {frame}: its frames are 0 to {frames - 1}.")
    return frame


def _row(frame: FrameArtifact) -> CheckpointOut:
    measured = {name: json_number(frame.facts.get(name)) for name in ("step", "epoch", "loss", "accuracy")}
    return CheckpointOut(index=frame.index, **measured)


def _csv(columns: tuple[str, ...], values: list[Any]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(columns)
    for row in zip(*values, strict=True):
        writer.writerow(["" if (cell := json_number(value.item())) is None else cell for value in row])
        if line.tell() > PIECE_CHARACTERS:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _with_points(head: dict[str, Any], points: Any, wanted: Any) -> Iterator[str]:  # noqa: ANN401 - (T, N, 2), indices
    """Yield the JSON object `head` with `points` as its last member, in pieces of one frame.

    Coordinates are rounded so that the largest has SIGNIFICANT_DIGITS digits.

    Args:
        head: the other members of the object.
        points: (T, N, 2) float32.
        wanted: indices of the frames.
    """
    yield json.dumps(head)[:-1] + ', "points": ['
    largest = max((float(np.abs(points[index]).max(initial=0.0)) for index in wanted), default=0.0)
    decimals = SIGNIFICANT_DIGITS - math.ceil(math.log10(largest)) if largest > 0 else SIGNIFICANT_DIGITS
    for position, index in enumerate(wanted):
        frame = np.round(points[index].astype(np.float64), decimals)
        yield (", " if position else "") + json.dumps(frame.tolist(), separators=(",", ":"))
    yield "]}"
