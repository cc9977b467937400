"""The datasets of a tenant: built in, allowed from the hub, uploaded."""

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
"""Most uploaded datasets that an error names."""


class DatasetLinks(BaseModel):
    """Addresses of what belongs to a dataset."""

    self: str
    contact_sheet: str | None = Field(description="null where there is none: only an uploaded dataset has one.")


class DatasetOut(BaseModel):
    """A dataset that a run may name."""

    id: str = Field(description="What a run's `dataset` says.")
    name: str
    kind: Annotated[str, one_of(SOURCES), Field(description="Where it comes from.")]
    classes: list[str] | None = Field(description="null where only loading it tells.")
    train_size: int | None
    evaluation_size: int | None
    digest: str | None
    report: dict[str, Any] | None = Field(description="What was found in an uploaded dataset.")
    links: DatasetLinks
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class TenantCatalog:
    """A `Catalog` of what is in the database.

    Attributes:
        hold: an uploaded dataset that is resolved is not deleted before our commit.
    """

    session: Session
    settings: Settings
    tenant: str
    hold: bool = False

    @property
    def allowed_hub(self) -> Sequence[str]:
        """Ids of the Hugging Face hub that the operator allows."""
        return self.settings.allowed_datasets

    def pinned_revision(self, source: str) -> str | None:
        """The commit that is required of a source; None before its first download."""
        return datasets.pinned_revision(self.session, source)

    def uploads(self) -> Iterable[KnownDataset]:
        """The tenant's uploaded datasets, newest first."""
        return map(_stored, datasets.every(self.session, tenant=self.tenant))

    def upload(self, dataset_id: str) -> ResolvedDataset:
        """What one of them is now.

        Raises:
            NotFoundError: the tenant has no such dataset.
        """
        row = dataset_of(self.session, dataset_id, self.tenant, hold="to_read" if self.hold else None)
        facts = facts_of(row.report)  # type: ignore[arg-type]
        return ResolvedDataset(facts, facts.digest, row.name)


def resolve_dataset(catalog: TenantCatalog, dataset: str) -> ResolvedDataset:
    """The dataset of this name, as it is now.

    Raises:
        InvalidSpecError: the choices of a hub dataset contradict each other.
        UnknownDatasetError: there is no such dataset, or the operator does not allow this hub id.
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
        f"There is no dataset {dataset!r}. There are: {', '.join(known[:LISTED])}{more}. "
        "POST /v1/datasets uploads one.",
        field="dataset",
    )


def every(session: Session, settings: Settings, tenant: str) -> list[DatasetOut]:
    """All datasets: built in, allowed from the hub, uploaded by the tenant (newest first)."""
    catalog = TenantCatalog(session, settings, tenant)
    return [_shown(found, kind) for kind, source in SOURCES.items() for found in source.every(catalog)]


def one(session: Session, settings: Settings, tenant: str, dataset_id: str) -> DatasetOut:
    """One dataset.

    Raises:
        NotFoundError: there is no such dataset.
    """
    catalog = TenantCatalog(session, settings, tenant)
    for kind, source in SOURCES.items():
        if source is not upload:
            for known in source.every(catalog):
                if known.id == dataset_id:
                    return _shown(known, kind)
    return uploaded(dataset_of(session, dataset_id, tenant))


def is_fixed(settings: Settings, dataset_id: str) -> bool:
    """Whether this is a dataset that nobody uploaded."""
    fixed = (source for source in SOURCES.values() if source is not upload)
    return any(dataset_id in source.known_names(allowed_hub=settings.allowed_datasets) for source in fixed)


def uploaded(row: DatasetRow) -> DatasetOut:
    """An uploaded dataset as the API shows it."""
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
    """Addresses of what belongs to a dataset; of its contact sheet where it has one."""
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
