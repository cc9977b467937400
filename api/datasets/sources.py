"""What a run's `dataset` and `model` stand for when it is accepted, and the datasets there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from api.http.ids import dataset_of, run_of
from api.runs import weights
from api.runs.describe import optional_timestamp
from core.data.builtin import BUILTIN
from core.data.intake import SHEET_FILE, facts_of
from core.data.names import DatasetKind, kind_of
from core.domain import hub_dataset, models
from core.domain.hub_dataset import HUB_PREFIX
from core.domain.phases import LayerDecay
from core.domain.spec import DatasetFacts, PinnedSources
from core.domain.trained import source_run
from core.errors import InvalidSpecError, NotFoundError, NotReadyError, UnknownDatasetError, UnknownModelError
from core.settings import Settings
from core.store.database.tables import ArtifactRow, DatasetRow
from core.store.queries import datasets

LISTED = 20
"""Most uploaded datasets that an error names."""


@dataclass(frozen=True, slots=True)
class Sources:
    """A run's dataset and model, resolved.

    Attributes:
        facts: None where only a worker can find them out.
        pinned: what both are now.
        title: what the dataset is called.
        layer_decay: how the recipe "two_phase" lets the rates of this model fall towards its input.
    """

    facts: DatasetFacts | None
    pinned: PinnedSources
    title: str
    layer_decay: LayerDecay


class DatasetLinks(BaseModel):
    """Addresses of what belongs to a dataset."""

    self: str
    contact_sheet: str | None = Field(description="null where there is none: only an uploaded dataset has one.")


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
    links: DatasetLinks
    created_at: datetime | None


def resolve(
    session: Session, settings: Settings, *, tenant: str, dataset: str, model: str, hold: bool = False
) -> Sources:
    """What these two names stand for now.

    Args:
        hold: an uploaded dataset, or the run whose weights are the model, is not deleted before our commit.

    Raises:
        InvalidSpecError: the run that is to be the model has no weights, or what is chosen of a hub dataset makes no
            sense.
        UnknownDatasetError: no such dataset, or a hub id that the operator does not allow.
        UnknownModelError: no such model or run, or a hub id that the operator does not allow.
    """
    revision, decay = _revision(session, settings, tenant, model, hold=hold)
    facts, digest, title = _dataset(session, settings, tenant, dataset, hold=hold)
    return Sources(facts, PinnedSources(dataset_digest=digest, model_revision=revision), title, decay)


def _revision(
    session: Session, settings: Settings, tenant: str, model: str, *, hold: bool
) -> tuple[str | None, LayerDecay]:
    """What the model is bound to: a key of stored weights, a commit on the hub, or nothing; and its layers' rates."""
    if run_id := source_run(model):
        kept = _weights(session, tenant, run_id, hold=hold)
        return kept.key, models.layer_decay_of(kept.facts["architecture"])
    models.require_known(model, settings.allowed_models)
    revision = None if model in models.PRESETS else datasets.pinned_revision(session, model)
    return revision, models.usual_layer_decay(model)


def _weights(session: Session, tenant: str, run_id: str, *, hold: bool) -> ArtifactRow:
    try:
        run = run_of(session, run_id, tenant, hold=hold)
    except NotFoundError as error:
        raise UnknownModelError(
            f"There is no run {run_id!r} whose weights could be the model. GET /v1/runs lists those there are.",
            field="model",
        ) from error
    try:
        return weights.kept(session, run)
    except (NotFoundError, NotReadyError) as error:
        raise InvalidSpecError(error.detail, field="model") from error


def _dataset(
    session: Session, settings: Settings, tenant: str, dataset: str, *, hold: bool
) -> tuple[DatasetFacts | None, str, str]:
    """Facts, digest and title."""
    match _kind(session, settings, tenant, dataset):
        case DatasetKind.BUILTIN:
            return BUILTIN[dataset], BUILTIN[dataset].digest, dataset
        case DatasetKind.HUB:
            source = hub_dataset.pinned_as(dataset)
            revision = datasets.pinned_revision(session, source) or hub_dataset.UNRESOLVED
            return None, f"{source}@{revision}", source.removeprefix(HUB_PREFIX)
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
    told = {"report": row.report, "created_at": optional_timestamp(row.created_at)}
    return known.model_copy(update={**told, "links": links(row.id, contact_sheet=SHEET_FILE in row.files)})


def links(dataset_id: str, *, contact_sheet: bool) -> DatasetLinks:
    """Addresses of what belongs to a dataset; of its contact sheet where it has one."""
    base = f"/v1/datasets/{dataset_id}"
    return DatasetLinks(self=base, contact_sheet=f"{base}/contact-sheet.png" if contact_sheet else None)


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
        links=links(dataset_id, contact_sheet=False),
        created_at=None,
    )
