"""Resolve the dataset and the model that a run names to their current versions."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.datasets.sources import TenantCatalog, resolve_dataset
from api.http.ids import run_of
from api.runs import weights
from core.domain import models
from core.domain.phases import LayerDecay
from core.domain.spec import DatasetFacts, PinnedSources
from core.domain.trained import source_run
from core.errors import InvalidSpecError, NotFoundError, NotReadyError, UnknownModelError
from core.settings import Settings
from core.store.database.tables import ArtifactRow
from core.store.queries import datasets


@dataclass(frozen=True, slots=True)
class Sources:
    """A run's dataset and model, resolved.

    Attributes:
        facts: facts about the dataset; None if they are unknown until a worker loads the dataset.
        pinned: current digest of the dataset and current revision of the model.
        title: name of the dataset.
        layer_decay: decay of the model's learning rates towards the input, for the recipe `two_phase`.
    """

    facts: DatasetFacts | None
    pinned: PinnedSources
    title: str
    layer_decay: LayerDecay


def resolve(
    session: Session, settings: Settings, *, tenant: str, dataset: str, model: str, hold: bool = False
) -> Sources:
    """Resolve the dataset and the model of a run.

    Args:
        session: an open transaction.
        settings: settings of the service.
        tenant: owner of the run.
        dataset: value of the run's `dataset`.
        model: value of the run's `model`.
        hold: True locks an uploaded dataset, and the run whose weights are the model, until the commit, so that they
            are not deleted.

    Raises:
        InvalidSpecError: the run that `model` names has no stored weights, or the options of a hub dataset are invalid.
        UnknownDatasetError: the dataset does not exist, or the operator does not allow its hub id.
        UnknownModelError: the model or the run does not exist, or the operator does not allow the hub id.
    """
    revision, decay = _revision(session, settings, tenant, model, hold=hold)
    found = resolve_dataset(TenantCatalog(session, settings, tenant, hold), dataset)
    return Sources(found.facts, PinnedSources(dataset_digest=found.digest, model_revision=revision), found.title, decay)


def _revision(
    session: Session, settings: Settings, tenant: str, model: str, *, hold: bool
) -> tuple[str | None, LayerDecay]:
    """Return the revision of a model and the decay of its learning rates.

    The revision is the key of stored weights, or the commit of a hub checkpoint. It is None for a preset, and for a
    checkpoint before its first download.
    """
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
            f"There is no run {run_id!r}, so its weights cannot be the model. GET /v1/runs lists the existing runs.",
            field="model",
        ) from error
    try:
        return weights.kept(session, run)
    except (NotFoundError, NotReadyError) as error:
        raise InvalidSpecError(error.detail, field="model") from error
