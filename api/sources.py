"""What a run's `dataset` and `model` stand for when it is accepted, and the datasets there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from api.describe import moment
from api.ids import dataset_of
from core.data.builtin import BUILTIN
from core.data.intake import facts_of
from core.data.names import HUB_PREFIX, DatasetKind, kind_of
from core.domain import models
from core.domain.spec import DatasetFacts, PinnedSources
from core.errors import NotFoundError, UnknownDatasetError
from core.settings import Settings
from core.store import datasets
from core.store.tables import DatasetRow

LISTED = 20
"""Most uploaded datasets that an error names."""


@dataclass(frozen=True, slots=True)
class Sources:
    """A run's dataset and model, resolved; `facts` is None where only a worker can find them out."""

    facts: DatasetFacts | None
    pinned: PinnedSources
    title: str


class DatasetOut(BaseModel):
    """A dataset that a run may name."""

    id: str = Field(description="What a run's `dataset` says.")
    name: str
    kind: DatasetKind
    classes: list[str] | None = Field(description="null where only loading it tells.")
    train_size: int | None
    evaluation_size: int | None
    digest: str | None
    report: dict[str, Any] | None = Field(description="What was found in an uploaded dataset.")
    created_at: datetime | None


def resolve(
    session: Session, settings: Settings, *, tenant: str, dataset: str, model: str, hold: bool = False
) -> Sources:
    """What these two names stand for now.

    Args:
        hold: an uploaded dataset is not deleted before our commit.

    Raises:
        UnknownDatasetError: no such dataset, or a hub id that the operator does not allow.
        UnknownModelError: no such model, or a hub id that the operator does not allow.
    """
    models.require_known(model, settings.allowed_models)
    facts, digest, title = _dataset(session, settings, tenant, dataset, hold=hold)
    revision = None if model in models.PRESETS else datasets.pinned_revision(session, model)
    return Sources(facts, PinnedSources(dataset_digest=digest, model_revision=revision), title)


def _dataset(
    session: Session, settings: Settings, tenant: str, dataset: str, *, hold: bool
) -> tuple[DatasetFacts | None, str, str]:
    """Facts, digest and title."""
    match _kind(session, settings, tenant, dataset):
        case DatasetKind.BUILTIN:
            return BUILTIN[dataset], BUILTIN[dataset].digest, dataset
        case DatasetKind.HUB:
            revision = datasets.pinned_revision(session, dataset) or "unresolved"
            return None, f"{dataset}@{revision}", dataset.removeprefix(HUB_PREFIX)
        case DatasetKind.UPLOAD:
            try:
                row = dataset_of(session, dataset, tenant, hold="to_read" if hold else None)
            except NotFoundError as error:
                raise _unknown(session, settings, tenant, dataset) from error
            facts = facts_of(row.report)  # type: ignore[arg-type]
            return facts, facts.digest, row.name


def _kind(session: Session, settings: Settings, tenant: str, dataset: str) -> DatasetKind:
    try:
        return kind_of(dataset, allowed_hub=settings.allowed_datasets)
    except UnknownDatasetError as error:
        raise _unknown(session, settings, tenant, dataset) from error


def _unknown(session: Session, settings: Settings, tenant: str, dataset: str) -> UnknownDatasetError:
    known = [card.id for card in every(session, settings, tenant)]
    more = f" and {len(known) - LISTED} more (GET /v1/datasets)" if len(known) > LISTED else ""
    return UnknownDatasetError(
        f"There is no dataset {dataset!r}. There are: {', '.join(known[:LISTED])}{more}. "
        "POST /v1/datasets uploads one.",
        field="dataset",
    )


def every(session: Session, settings: Settings, tenant: str) -> list[DatasetOut]:
    """All datasets: built in, allowed from the hub, uploaded by the tenant (newest first)."""
    return [*_not_uploaded(settings), *(uploaded(row) for row in datasets.every(session, tenant=tenant))]


def one(session: Session, settings: Settings, tenant: str, dataset_id: str) -> DatasetOut:
    """One dataset.

    Raises:
        NotFoundError: there is no such dataset.
    """
    for known in _not_uploaded(settings):
        if known.id == dataset_id:
            return known
    return uploaded(dataset_of(session, dataset_id, tenant))


def is_fixed(settings: Settings, dataset_id: str) -> bool:
    """Whether this is a dataset that nobody uploaded."""
    return any(known.id == dataset_id for known in _not_uploaded(settings))


def uploaded(row: DatasetRow) -> DatasetOut:
    """An uploaded dataset as the API shows it."""
    facts = facts_of(row.report)  # type: ignore[arg-type]
    known = _known(row.id, row.name, DatasetKind.UPLOAD, facts)
    return known.model_copy(update={"report": row.report, "created_at": moment(row.created_at)})


def _not_uploaded(settings: Settings) -> list[DatasetOut]:
    builtin = [_known(name, name, DatasetKind.BUILTIN, facts) for name, facts in BUILTIN.items()]
    hub = [_known(HUB_PREFIX + name, name, DatasetKind.HUB, None) for name in settings.allowed_datasets]
    return builtin + hub


def _known(dataset_id: str, name: str, kind: DatasetKind, facts: DatasetFacts | None) -> DatasetOut:
    return DatasetOut(
        id=dataset_id,
        name=name,
        kind=kind,
        classes=list(facts.class_names) if facts else None,
        train_size=facts.train_size if facts else None,
        evaluation_size=facts.evaluation_size if facts else None,
        digest=facts.digest if facts else None,
        report=None,
        created_at=None,
    )
