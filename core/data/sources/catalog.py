"""The types that dataset sources exchange with the service. This module imports neither pyarrow nor `datasets`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.domain.spec import DatasetFacts
from core.errors import SourceUnavailableError


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A dataset that a run may name.

    Attributes:
        id: the value of a run's `dataset`.
        name: name for the user.
        facts: classes, sizes and digest. None if they are known only after loading.
        report: the report of the intake. None unless the dataset is uploaded.
        created_at: Unix time of the upload in seconds. None unless the dataset is uploaded.
        has_contact_sheet: True if there is a contact sheet.
    """

    id: str
    name: str
    facts: DatasetFacts | None = None
    report: Mapping[str, Any] | None = None
    created_at: float | None = None
    has_contact_sheet: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedDataset:
    """A run's dataset at the time when the run is accepted.

    Attributes:
        facts: classes, sizes and digest. None if only a worker can determine them.
        digest: identifies the content. For a hub dataset, `hub:<owner>/<name>@<commit>` without the options of the
            name, and `@unresolved` before the first download.
        title: name of the dataset for the user.
    """

    facts: DatasetFacts | None
    digest: str
    title: str


class Catalog(Protocol):
    """The allowed, pinned and uploaded datasets of one tenant."""

    @property
    def allowed_hub(self) -> Sequence[str]:
        """Ids, `<owner>/<name>`, of the Hugging Face hub that the operator allows."""

    def pinned_revision(self, source: str) -> str | None:
        """Return the commit that runs must use.

        Args:
            source: name under which the commit is pinned, `hub:<owner>/<name>`.

        Returns:
            The commit; None before the first download.
        """

    def uploads(self) -> Iterable[KnownDataset]:
        """Return the tenant's uploaded datasets, newest first."""

    def upload(self, dataset_id: str) -> ResolvedDataset:
        """Return the facts and the digest of an uploaded dataset.

        Args:
            dataset_id: id of the dataset, `ds_…`.

        Raises:
            NotFoundError: the tenant has no such dataset.
        """


def require_digest(dataset: str, facts: DatasetFacts, *, expected: str | None) -> None:
    """Check that a dataset has not changed since its run was accepted.

    Args:
        dataset: the run's `dataset`.
        facts: facts of the dataset that was opened.
        expected: digest with which the run was accepted. None: accept any digest.

    Raises:
        SourceUnavailableError: the digests differ.
    """
    if expected is not None and facts.digest != expected:
        raise SourceUnavailableError(
            f"The dataset {dataset} has changed since this run was accepted (its digest was "
            f"{expected}, and is now {facts.digest}): start a new run."
        )
