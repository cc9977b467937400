"""Operations on a tenant's datasets: receive, inspect, store, list, show and delete."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from sqlalchemy.orm import Session

from api.access import quotas
from api.access.services import service
from api.datasets import sources, upload
from api.datasets.sources import DatasetOut
from api.datasets.upload import Upload
from api.datasets.upload_slots import UploadSlots
from api.http.files import StoredFile
from api.http.idempotency import Asked, InFlight
from api.http.ids import dataset_of
from core.data import intake
from core.data.stored import SHEET_FILE
from core.domain.ids import new_id
from core.errors import ConflictError, NotFoundError, StorageUnavailableError, storage_error
from core.settings import Settings
from core.store.database.session import Database
from core.store.objects.artifacts import ArtifactStore
from core.store.objects.stored import Stored
from core.store.queries import datasets, idempotency


@dataclass(frozen=True, slots=True)
class UploadedDataset:
    """The result of an upload. `replayed`: an earlier request with the same Idempotency-Key created the dataset."""

    dataset: DatasetOut
    replayed: bool


@dataclass(frozen=True, slots=True)
class DatasetService:
    """Datasets of one tenant.

    Attributes:
        settings: settings of the service.
        database: where datasets are recorded.
        store: where files of datasets are stored.
        tenant: owner of the datasets.
        slots: places for concurrent uploads, shared by all tenants of this process.
        in_flight: Idempotency-Keys whose requests this process is handling.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    tenant: str
    slots: UploadSlots
    in_flight: InFlight = field(default_factory=InFlight)

    def for_tenant(self, tenant: str) -> Self:
        """Return the same service for another tenant."""
        return replace(self, tenant=tenant)

    async def take(self, request: Request, *, idempotency_key: str | None = None) -> UploadedDataset:
        """Receive a multipart body, inspect its files in a child process, and store the dataset.

        If the Idempotency-Key was used before, the body is received and compared with the earlier body. Nothing is
        stored.

        Args:
            request: the request. Its body is read to the end.
            idempotency_key: the Idempotency-Key, or None.

        Returns:
            The new dataset, or the dataset that the earlier request created.

        Raises:
            InvalidSpecError: another request used this Idempotency-Key before.
            InFlightError: another request with this Idempotency-Key is being processed.
            UploadsBusyError: the maximum number of uploads is under way.
            InvalidDatasetError: the files have no usable images and labels.
            QuotaExceededError: the tenant has the maximum number of datasets.
            InsufficientStorageError: the disk is full or nearly full.
            EmbedreelError: an error of `upload.receive`.
        """
        dataset_id = new_id("ds")
        slots, max_bytes = self.slots, self.settings.max_upload_bytes
        with self.in_flight.exclusive(self.tenant, idempotency_key), slots.place():
            await run_sync(self._check_room, idempotency_key, limiter=slots.receiving)
            async with self._incoming(dataset_id) as folder:
                received = await upload.receive(request, folder, max_bytes=max_bytes, threads=slots.receiving)
                return await run_sync(self._make, dataset_id, received, idempotency_key, limiter=slots.inspecting)

    def every(self) -> list[DatasetOut]:
        """Return all datasets that a run of this tenant may name."""
        with self.database.reading() as session:
            return sources.every(session, self.settings, self.tenant)

    def one(self, dataset_id: str) -> DatasetOut:
        """Return one dataset.

        Raises:
            NotFoundError: the tenant has no such dataset.
        """
        with self.database.reading() as session:
            return sources.one(session, self.settings, self.tenant, dataset_id)

    def contact_sheet(self, dataset_id: str) -> StoredFile:
        """Return the contact sheet of an uploaded dataset, a PNG.

        Raises:
            NotFoundError: the tenant has no such dataset, or the dataset has no contact sheet.
        """
        if sources.is_fixed(self.settings, dataset_id):
            raise NotFoundError("This dataset has no contact sheet. Only an uploaded dataset has a contact sheet.")
        with self.database.reading() as session:
            row = dataset_of(session, dataset_id, self.tenant)
            stored = Stored(row.location, row.files)
        if SHEET_FILE not in stored.files:
            raise NotFoundError(
                "An older version stored this dataset without a contact sheet. Upload the dataset again."
            )
        return StoredFile(self.store.file(stored, SHEET_FILE), stored.files[SHEET_FILE]["sha256"])

    def remove(self, dataset_id: str) -> None:
        """Delete an uploaded dataset with its files.

        Raises:
            NotFoundError: the tenant has no such dataset.
            ConflictError: the dataset is not an upload, or a run that has not ended needs the dataset.
        """
        if sources.is_fixed(self.settings, dataset_id):
            raise ConflictError("This dataset cannot be deleted. Only an uploaded dataset can be deleted.")
        with self.database.writing() as session:
            dataset_of(session, dataset_id, self.tenant)
            location = datasets.remove(session, dataset_id, tenant=self.tenant)
        self.store.delete([location])

    def _check_room(self, idempotency_key: str | None) -> None:
        """Check the quotas before the body is received, so that a large upload is not refused only at its end.

        A request whose Idempotency-Key was used before stores nothing, so nothing is checked.
        """
        with self.database.reading() as session:
            if idempotency_key and idempotency.remembered(session, idempotency_key, tenant=self.tenant):
                return
            quotas.check_datasets(self.settings, session, tenant=self.tenant)
        quotas.check_space(self.settings, self.store)

    def _make(self, dataset_id: str, received: Upload, idempotency_key: str | None) -> UploadedDataset:
        asked = Asked.of(self.tenant, idempotency_key, "datasets", received.identity() if idempotency_key else {})
        with self.database.reading() as session:
            answered = asked.answered(session)
            if answered:
                return self._replayed(session, answered)
        return self._store(dataset_id, received, asked)

    def _replayed(self, session: Session, dataset_id: str) -> UploadedDataset:
        return UploadedDataset(sources.uploaded(dataset_of(session, dataset_id, self.tenant)), replayed=True)

    def _store(self, dataset_id: str, received: Upload, asked: Asked) -> UploadedDataset:
        checked = received.folder.with_name("checked")
        report = intake.inspect_in_subprocess(
            received.folder,
            checked,
            names=received.names,
            max_pixels=self.settings.max_image_pixels,
            max_entries=self.settings.max_zip_entries,
            allow_broken=received.allow_broken,
        )
        name = received.name or next(iter(received.names.values()))
        try:
            stored = self.store.put_dataset(checked, dataset_id)
        except OSError as error:
            raise storage_error(error, "The upload cannot be stored") from error
        try:
            with self.database.writing() as session:
                if answered := asked.claim(session):
                    taken = self._replayed(session, answered)
                else:
                    quotas.check_datasets(self.settings, session, tenant=self.tenant)
                    row = datasets.add(
                        session, dataset_id, tenant=self.tenant, name=name, report=dict(report), stored=stored
                    )
                    asked.remember(session, dataset_id)
                    taken = UploadedDataset(sources.uploaded(row), replayed=False)
        except StorageUnavailableError:  # the commit may have succeeded; if not, the sweeper deletes the files later
            raise
        except BaseException:
            self.store.delete([stored.location])
            raise
        if taken.replayed:  # another process has stored the same upload meanwhile
            self.store.delete([stored.location])
        return taken

    @asynccontextmanager
    async def _incoming(self, dataset_id: str) -> AsyncIterator[Path]:
        """Make a folder for the upload, and delete it at the end of the block."""
        folder = self.store.incoming / dataset_id
        received = folder / "received"
        try:
            received.mkdir(parents=True)
        except OSError as error:
            raise storage_error(error, "The upload cannot be written") from error
        try:
            yield received
        finally:
            shutil.rmtree(folder, ignore_errors=True)


Datasets = Annotated[DatasetService, Depends(service(DatasetService))]
"""The datasets of the caller's tenant."""
