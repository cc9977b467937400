"""The dataset and the model that a run names, as they are when the run is accepted."""

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
        facts: None where only a worker can find them out.
        pinned: what both are now.
        title: what the dataset is called.
        layer_decay: how the recipe "two_phase" lets the rates of this model fall towards its input.
    """

    facts: DatasetFacts | None
    pinned: PinnedSources
    title: str
    layer_decay: LayerDecay


def resolve(
    session: Session, settings: Settings, *, tenant: str, dataset: str, model: str, hold: bool = False
) -> Sources:
    """Resolve these two names.

    Args:
        hold: an uploaded dataset, or the run whose weights are the model, is not deleted before our commit.

    Raises:
        InvalidSpecError: the run that is to be the model has no weights, or what is chosen of a hub dataset makes no
            sense.
        UnknownDatasetError: no such dataset, or a hub id that the operator does not allow.
        UnknownModelError: no such model or run, or a hub id that the operator does not allow.
    """
    revision, decay = _revision(session, settings, tenant, model, hold=hold)
    found = resolve_dataset(TenantCatalog(session, settings, tenant, hold), dataset)
    return Sources(found.facts, PinnedSources(dataset_digest=found.digest, model_revision=revision), found.title, decay)


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
