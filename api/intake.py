"""Datasets that users upload: received, inspected, stored, listed and removed."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api import sources, uploads
from api.ids import dataset_of
from api.sources import DatasetOut
from api.uploads import Upload
from core.data import intake
from core.domain.ids import new_id
from core.errors import ConflictError, StorageUnavailableError
from core.settings import Settings
from core.store import datasets
from core.store.artifacts import ArtifactStore
from core.store.session import Database

INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class Intake:
    """Datasets: take in, list, show, remove."""

    settings: Settings
    database: Database
    store: ArtifactStore

    async def take(self, request: Request) -> DatasetOut:
        """Receive a multipart body, inspect its files in a process of their own, and store the dataset.

        Raises:
            InvalidDatasetError: the files hold no usable images and labels.
            EmbedreelError: what `uploads.receive` raises.
        """
        dataset_id = new_id("ds")
        async with self._incoming(dataset_id) as folder:
            received = await uploads.receive(request, folder, max_bytes=self.settings.max_upload_bytes)
            return await run_in_threadpool(self._store, dataset_id, received)

    def every(self) -> list[DatasetOut]:
        """All datasets that a run may name."""
        with self.database.reading() as session:
            return sources.every(session, self.settings)

    def one(self, dataset_id: str) -> DatasetOut:
        """One dataset.

        Raises:
            NotFoundError: there is no such dataset.
        """
        with self.database.reading() as session:
            return sources.one(session, self.settings, dataset_id)

    def remove(self, dataset_id: str) -> None:
        """Delete an uploaded dataset with its files.

        Raises:
            NotFoundError: there is no such dataset.
            ConflictError: it is not an uploaded one, or a run that has not ended reads it.
        """
        if sources.is_fixed(self.settings, dataset_id):
            raise ConflictError("Only an uploaded dataset can be deleted.")
        with self.database.writing() as session:
            dataset_of(session, dataset_id)
            datasets.remove(session, dataset_id)
        self.store.discard(self.settings.uploads / dataset_id)

    def _store(self, dataset_id: str, received: Upload) -> DatasetOut:
        destination = self.settings.uploads / dataset_id
        report = intake.inspect_in_subprocess(
            received.folder, destination, names=received.names, max_pixels=self.settings.max_image_pixels
        )
        name = received.name or next(iter(received.names.values()))
        try:
            with self.database.writing() as session:
                return sources.uploaded(datasets.add(session, dataset_id, name=name, report=dict(report)))
        except BaseException:
            self.store.discard(destination)
            raise

    @asynccontextmanager
    async def _incoming(self, dataset_id: str) -> AsyncIterator[Path]:
        """A folder for what is received; nothing of it stays."""
        folder = self.settings.artifacts / INCOMING / dataset_id
        try:
            folder.mkdir(parents=True)
            self.settings.uploads.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailableError(f"The upload cannot be written: {error.strerror}.") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
