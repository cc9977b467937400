"""The trained model of a run as a folder in Hugging Face format: the stored files and a model card."""

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy.orm import Session

from api.http.files import StoredFile
from api.http.ids import run_of
from api.http.zip_stream import Member
from api.runs.artifacts import RunArtifacts
from core.domain import model_card
from core.domain.model_card import CheckpointMetrics, Learned
from core.domain.spec import RunSpec
from core.domain.stages import FINE_TUNE
from core.domain.trained import CARD, CONFIG, PREPROCESSOR, WEIGHTS
from core.errors import NotFoundError, NotReadyError
from core.store.database.tables import ArtifactRow, RunRow
from core.store.engine import artifact_references
from core.store.objects.stored import Stored
from core.store.queries import artifacts, runs


def members(results: RunArtifacts, run_id: str, *, service: str) -> list[Member]:
    """Return the files of the last weights that a run has kept, with the model card first.

    Args:
        results: artifacts of the caller's tenant.
        run_id: the run.
        service: URL of the service for the card, without a trailing slash.

    Raises:
        NotFoundError: the tenant has no such run, or the run keeps no weights.
        NotReadyError: the training has not finished, or the weights are not stored any more.
    """
    with results.database.reading() as session:
        run = run_of(session, run_id, results.tenant)
        row = kept(session, run)
        measured = _measured(session, run)
    stored = Stored(row.location, row.files)
    card = model_card.written(RunSpec.model_validate(run.spec), _learned(row), measured, run_id=run_id, service=service)
    files = [
        Member(name, StoredFile(results.store.file(stored, name), row.files[name]["sha256"]))
        for name in (CONFIG, PREPROCESSOR, WEIGHTS)
    ]
    return [Member(CARD, card.encode()), *files]


def kept(session: Session, run: RunRow) -> ArtifactRow:
    """Return the artifact of the last weights that a run has kept.

    Raises:
        NotFoundError: the run is a comparison, or keeps no weights.
        NotReadyError: the training has not finished, or the weights are not stored any more.
    """
    if runs.is_comparison(run):
        raise NotFoundError(
            f"Run {run.id} is a comparison, which has no model. Request the model of a run that it shows."
        )
    if run.spec["train"]["keep_weights"] == "none":
        raise NotFoundError(
            f'Run {run.id} has not kept its weights. Run it again with train.keep_weights "last": the same training '
            "gives the same model."
        )
    trained = artifacts.artifact(session, run, FINE_TUNE.name)
    last = artifact_references.last_weights(session, run.id) if trained else None
    if last is None:
        raise NotReadyError(
            f"The weights of run {run.id} are not there; the run is {run.status}. Wait until its training is done, "
            "or retry it if it has failed or has lost its files."
        )
    return last


def _measured(session: Session, run: RunRow) -> Sequence[CheckpointMetrics]:
    facts = [frame.facts for frame in artifacts.frames(session, run)]
    return [CheckpointMetrics(int(one["step"]), one.get("accuracy"), one.get("loss")) for one in facts]


def _learned(row: ArtifactRow) -> Learned:
    return Learned(**{field.name: row.facts[field.name] for field in fields(Learned)})
