"""The datasets that a tenant's runs may name: built-in datasets, allowed datasets of the hub, and uploads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from api.http.ids import dataset_of
from api.http.times import optional_timestamp
from core.data.sources import SOURCES, source_of, upload
from core.data.sources.catalog import KnownDataset, ResolvedDataset
from core.data.stored import SHEET_FILE, facts_of
from core.domain.choices import one_of
from core.errors import NotFoundError, UnknownDatasetError
from core.settings import Settings
from core.store.database.tables import DatasetRow
from core.store.queries import datasets

LISTED = 20
"""Maximum number of datasets that an error message names. Chosen by hand; not measured."""


class DatasetLinks(BaseModel):
    """Paths of a dataset's resources."""

    self: str
    contact_sheet: str | None = Field(description="null if there is no contact sheet. Only uploaded datasets have one.")


class DatasetOut(BaseModel):
    """A dataset that a run may name. Sizes are numbers of images, and null if unknown until the dataset is loaded."""

    id: str = Field(description="Value of a run's `dataset`.")
    name: str
    kind: Annotated[str, one_of(SOURCES), Field(description="Source of the dataset.")]
    classes: list[str] | None = Field(description="Class names; null if they are unknown until the dataset is loaded.")
    train_size: int | None
    evaluation_size: int | None
    digest: str | None
    report: dict[str, Any] | None = Field(description="Description of the files of an upload; null for other datasets.")
    links: DatasetLinks
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class TenantCatalog:
    """The `Catalog` of one tenant, read from the database.

    Attributes:
        session: an open transaction.
        settings: settings of the service.
        tenant: owner of the uploads.
        hold: True: `upload` locks the dataset, so that it is not deleted before the commit.
    """

    session: Session
    settings: Settings
    tenant: str
    hold: bool = False

    @property
    def allowed_hub(self) -> Sequence[str]:
        """Ids of hub datasets that the operator allows."""
        return self.settings.allowed_datasets

    def pinned_revision(self, source: str) -> str | None:
        """Return the commit to which a hub dataset is pinned; None before the first download."""
        return datasets.pinned_revision(self.session, source)

    def uploads(self) -> Iterable[KnownDataset]:
        """Return the tenant's uploaded datasets, newest first."""
        return map(_stored, datasets.every(self.session, tenant=self.tenant))

    def upload(self, dataset_id: str) -> ResolvedDataset:
        """Return the current facts, digest and name of an uploaded dataset.

        Raises:
            NotFoundError: the tenant has no such dataset.
        """
        row = dataset_of(self.session, dataset_id, self.tenant, hold="to_read" if self.hold else None)
        facts = facts_of(row.report)  # type: ignore[arg-type]
        return ResolvedDataset(facts, facts.digest, row.name)


def resolve_dataset(catalog: TenantCatalog, dataset: str) -> ResolvedDataset:
    """Resolve a run's `dataset` to its current facts, digest and name.

    Args:
        catalog: datasets of the tenant.
        dataset: value of a run's `dataset`.

    Raises:
        InvalidSpecError: the options of a hub dataset are invalid.
        UnknownDatasetError: the dataset does not exist, or the operator does not allow its hub id.
    """
    try:
        source = source_of(dataset, allowed_hub=catalog.allowed_hub)
        return source.resolve(dataset, catalog)
    except (NotFoundError, UnknownDatasetError) as error:
        raise _unknown(catalog, dataset) from error


def _unknown(catalog: TenantCatalog, dataset: str) -> UnknownDatasetError:
    known = [found.id for source in SOURCES.values() for found in source.every(catalog)]
    more = f" and {len(known) - LISTED} more (GET /v1/datasets)" if len(known) > LISTED else ""
    return UnknownDatasetError(
        f"There is no dataset {dataset!r}. Existing datasets: {', '.join(known[:LISTED])}{more}. "
        "POST /v1/datasets uploads one.",
        field="dataset",
    )


def every(session: Session, settings: Settings, tenant: str) -> list[DatasetOut]:
    """Return all datasets: built-in datasets, allowed datasets of the hub, then uploads of the tenant, newest first."""
    catalog = TenantCatalog(session, settings, tenant)
    return [_shown(found, kind) for kind, source in SOURCES.items() for found in source.every(catalog)]


def one(session: Session, settings: Settings, tenant: str, dataset_id: str) -> DatasetOut:
    """Return one dataset.

    Raises:
        NotFoundError: the tenant has no such dataset.
    """
    catalog = TenantCatalog(session, settings, tenant)
    for kind, source in SOURCES.items():
        if source is not upload:
            for known in source.every(catalog):
                if known.id == dataset_id:
                    return _shown(known, kind)
    return uploaded(dataset_of(session, dataset_id, tenant))


def is_fixed(settings: Settings, dataset_id: str) -> bool:
    """Return True if this id is the id of a built-in dataset or of an allowed dataset of the hub."""
    fixed = (source for source in SOURCES.values() if source is not upload)
    return any(dataset_id in source.known_names(allowed_hub=settings.allowed_datasets) for source in fixed)


def uploaded(row: DatasetRow) -> DatasetOut:
    """Return an uploaded dataset as the API shows it."""
    return _shown(_stored(row), upload.KIND)


def _stored(row: DatasetRow) -> KnownDataset:
    return KnownDataset(
        row.id,
        row.name,
        facts_of(row.report),  # type: ignore[arg-type]
        report=row.report,
        created_at=row.created_at,
        has_contact_sheet=SHEET_FILE in row.files,
    )


def links(dataset_id: str, *, contact_sheet: bool) -> DatasetLinks:
    """Return the paths of a dataset's resources. `contact_sheet`: True if the dataset has a contact sheet."""
    base = f"/v1/datasets/{dataset_id}"
    return DatasetLinks(self=base, contact_sheet=f"{base}/contact-sheet.png" if contact_sheet else None)


def _shown(known: KnownDataset, kind: str) -> DatasetOut:
    facts = known.facts
    return DatasetOut(
        id=known.id,
        name=known.name,
        kind=kind,
        classes=list(facts.class_names) if facts else None,
        train_size=facts.train_size if facts else None,
        evaluation_size=facts.evaluation_size if facts else None,
        digest=facts.digest if facts else None,
        report=None if known.report is None else dict(known.report),
        links=links(known.id, contact_sheet=known.has_contact_sheet),
        created_at=optional_timestamp(known.created_at),
    )
