"""What a dataset source needs of the service, and what it tells of its datasets. Nothing heavy is imported."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.domain.spec import DatasetFacts
from core.errors import SourceUnavailableError


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset that a run may name.

    Attributes:
        id: as a run names it.
        name: what it is called.
        facts: None where only loading it tells.
        report: what was found in uploaded files; None for any other dataset.
        created_at: seconds since 1970; None for a dataset that nobody uploaded.
        has_contact_sheet: whether there is a picture of its classes.
    """

    id: str
    name: str
    facts: DatasetFacts | None = None
    report: Mapping[str, Any] | None = None
    created_at: float | None = None
    has_contact_sheet: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedDataset:
    """What a run's dataset stands for when the run is accepted.

    Attributes:
        facts: None where only a worker can find them out.
        digest: what it is now; equal digests mean equal images.
        title: what it is called.
    """

    facts: DatasetFacts | None
    digest: str
    title: str


class Catalog(Protocol):
    """What a service knows of datasets, for one tenant."""

    @property
    def allowed_hub(self) -> Sequence[str]:
        """Ids of the Hugging Face hub that the operator allows."""

    def pinned_revision(self, source: str) -> str | None:
        """The commit that is required of a source; None before its first download."""

    def uploads(self) -> Iterable[KnownDataset]:
        """The tenant's uploaded datasets, newest first."""

    def upload(self, dataset_id: str) -> ResolvedDataset:
        """What one of them is now.

        Raises:
            NotFoundError: the tenant has no such dataset.
        """


def require_digest(dataset: str, facts: DatasetFacts, *, expected: str | None) -> None:
    """Refuse a dataset that has changed.

    Args:
        dataset: as the run names it.
        facts: of the dataset as it is now.
        expected: the digest that the run was accepted with; None: any.

    Raises:
        SourceUnavailableError: it is another one.
    """
    if expected is not None and facts.digest != expected:
        raise SourceUnavailableError(
            f"The dataset {dataset} is no longer what this run was accepted with (it was "
            f"{expected}, it is {facts.digest}): start a new run."
        )
