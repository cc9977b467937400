"""The sources of datasets: one module for each source, and the table of all sources.

A source is a module with the names of `DatasetSource`, and an entry in `_ALL`. The API imports these modules. A module
therefore imports pyarrow, PIL, NumPy and `datasets` only inside functions that open a dataset.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.data.sources import builtin, hub, upload
from core.data.sources.catalog import Catalog, KnownDataset, ResolvedDataset
from core.errors import UnknownDatasetError

if TYPE_CHECKING:
    from core.domain.sources import ImageSource


class DatasetSource(Protocol):
    """The interface of a source module."""

    @property
    def KIND(self) -> str:  # noqa: N802 - a constant of the module
        """The value of the API field `kind`, and the name of the module."""

    @property
    def FORM(self) -> str:  # noqa: N802
        """Form of the names of its datasets, for the documentation."""

    @property
    def DESCRIPTION(self) -> str:  # noqa: N802
        """Description of its datasets, for the documentation, without a full stop."""

    def is_named(self, dataset: str, *, allowed_hub: Sequence[str]) -> bool:
        """Return True if a run's `dataset` is a name of this source. An uploaded dataset need not exist.

        Args:
            dataset: the run's `dataset`.
            allowed_hub: ids of the Hugging Face hub that the operator allows.

        Raises:
            InvalidSpecError: the name is a name of this source with invalid options.
        """

    def known_names(self, *, allowed_hub: Sequence[str]) -> list[str]:
        """Return names for an error message that lists the available datasets.

        Args:
            allowed_hub: ids of the Hugging Face hub that the operator allows.
        """

    def canonical(self, dataset: str) -> str:
        """Return the canonical form of a name of this source. Names of other sources do not change.

        Args:
            dataset: the run's `dataset`.

        Raises:
            InvalidSpecError: the options in the name are invalid, or the canonical form is too long.
        """

    def pinned_as(self, dataset: str) -> str | None:
        """Return the name under which the commit of a dataset is pinned.

        Args:
            dataset: the run's `dataset`.

        Returns:
            The name; None if the dataset has no commits or belongs to another source.
        """

    def every(self, catalog: Catalog) -> Iterable[KnownDataset]:
        """Return the datasets of this source that a run may name, as the API lists them.

        Args:
            catalog: the allowed, pinned and uploaded datasets of one tenant.
        """

    def resolve(self, dataset: str, catalog: Catalog) -> ResolvedDataset:
        """Return the facts and the digest of a dataset that are known without loading it.

        Args:
            dataset: a name of this source.
            catalog: the allowed, pinned and uploaded datasets of one tenant.

        Raises:
            NotFoundError: there is no such dataset.
        """

    def open_images(self, dataset: str, *, folder: Path | None, expected_digest: str | None) -> "ImageSource":
        """Open a dataset of this source on a worker.

        Args:
            dataset: a name of this source.
            folder: folder of the stored dataset. None unless the dataset is uploaded.
            expected_digest: digest with which the run was accepted. None: accept any digest.

        Returns:
            The dataset. Labels are in memory or memory-mapped, and images are decoded on demand.

        Raises:
            NotFoundError: the dataset does not exist.
            SourceUnavailableError: the dataset cannot be loaded now, or its digest is not `expected_digest`.
            InvalidDatasetError: the dataset has no usable images, labels or splits.
        """


_ALL: tuple[DatasetSource, ...] = (builtin, hub, upload)
SOURCES = {source.KIND: source for source in _ALL}
"""The sources by kind. Functions that search or list datasets use this order."""


def source_of(dataset: str, *, allowed_hub: Sequence[str]) -> DatasetSource:
    """Return the source of a dataset by its name. An uploaded dataset need not exist.

    >>> source_of("hub:uoft-cs/cifar10", allowed_hub=["uoft-cs/cifar10"]).KIND
    'hub'

    Args:
        dataset: the run's `dataset`.
        allowed_hub: ids of the Hugging Face hub that the operator allows.

    Raises:
        UnknownDatasetError: no source has such a name, or the operator does not allow the hub id.
        InvalidSpecError: the options of a hub dataset are invalid.
    """
    for source in SOURCES.values():
        if source.is_named(dataset, allowed_hub=allowed_hub):
            return source
    raise unknown(dataset, allowed_hub=allowed_hub)


def unknown(dataset: str, *, allowed_hub: Sequence[str]) -> UnknownDatasetError:
    """Return the error for an unknown dataset. The message lists the available datasets.

    Args:
        dataset: the run's `dataset`.
        allowed_hub: ids of the Hugging Face hub that the operator allows.
    """
    known = [name for source in SOURCES.values() for name in source.known_names(allowed_hub=allowed_hub)]
    return UnknownDatasetError(
        f"There is no dataset {dataset!r}. Known here: {', '.join(known)}.",
        field="dataset",
    )


def canonical(dataset: str) -> str:
    """Return the canonical form of a run's `dataset`. Names with equal options have the same form.

    Args:
        dataset: the run's `dataset`.

    Raises:
        InvalidSpecError: the options in the name are invalid, or the canonical form is too long.
    """
    for source in SOURCES.values():
        dataset = source.canonical(dataset)
    return dataset


def pinned_as(dataset: str) -> str | None:
    """Return the name under which the commit of a run's `dataset` is pinned.

    Args:
        dataset: the run's `dataset`.

    Returns:
        The name; None if the dataset has no commits.
    """
    found = (source.pinned_as(dataset) for source in SOURCES.values())
    return next((name for name in found if name is not None), None)
