"""Where datasets come from: a module for each source, and the table of them.

A source is a module with the names of `DatasetSource`, and a line in `SOURCES`. The API imports these modules, so a
module imports nothing heavy before `open_images` is called.
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
    """What a module of this package has."""

    @property
    def KIND(self) -> str:  # noqa: N802 - a constant of the module
        """Of `DatasetOut.kind`, and the name of the module."""

    @property
    def FORM(self) -> str:  # noqa: N802
        """How its names look, as the documentation shows it."""

    @property
    def DESCRIPTION(self) -> str:  # noqa: N802
        """What its datasets are, as the documentation says it; without a full stop."""

    def is_named(self, dataset: str, *, allowed_hub: Sequence[str]) -> bool:
        """Whether a run's `dataset` is one of this source.

        Raises:
            InvalidSpecError: it is, and what it chooses makes no sense.
        """

    def known_names(self, *, allowed_hub: Sequence[str]) -> list[str]:
        """The names, for an error that lists what there is."""

    def canonical(self, dataset: str) -> str:
        """The one form of a name of this source; any other name as it is.

        Raises:
            InvalidSpecError: what it chooses makes no sense.
        """

    def pinned_as(self, dataset: str) -> str | None:
        """The name that its revision is pinned under; None if it has no revisions, or is not of this source."""

    def every(self, catalog: Catalog) -> Iterable[KnownDataset]:
        """The datasets that a run may name, as the API lists them."""

    def resolve(self, dataset: str, catalog: Catalog) -> ResolvedDataset:
        """What a dataset of this source is now, as far as that is known without loading it.

        Raises:
            NotFoundError: there is no such dataset.
        """

    def open_images(self, dataset: str, *, folder: Path | None, expected_digest: str | None) -> "ImageSource":
        """Open a dataset of this source, on a worker.

        Args:
            dataset: its name.
            folder: of the stored dataset, if it is an uploaded one.
            expected_digest: what the run was accepted with; None: any.

        Raises:
            NotFoundError: it is not there.
            SourceUnavailableError: it cannot be read now, or is not what the run was accepted with.
            InvalidDatasetError: it has no usable images and labels.
        """


_ALL: tuple[DatasetSource, ...] = (builtin, hub, upload)
SOURCES = {source.KIND: source for source in _ALL}
"""By kind. They are asked, and listed, in this order."""


def source_of(dataset: str, *, allowed_hub: Sequence[str]) -> DatasetSource:
    """Where the dataset of this name comes from. Whether an upload exists is for its store to say.

    >>> source_of("hub:uoft-cs/cifar10", allowed_hub=["uoft-cs/cifar10"]).KIND
    'hub'

    Raises:
        UnknownDatasetError: the name is of no such form, or a hub id that the operator does not allow.
        InvalidSpecError: what is chosen of a hub dataset makes no sense.
    """
    for source in SOURCES.values():
        if source.is_named(dataset, allowed_hub=allowed_hub):
            return source
    raise unknown(dataset, allowed_hub=allowed_hub)


def unknown(dataset: str, *, allowed_hub: Sequence[str]) -> UnknownDatasetError:
    """The error that lists what there is instead."""
    known = [name for source in SOURCES.values() for name in source.known_names(allowed_hub=allowed_hub)]
    return UnknownDatasetError(
        f"There is no dataset {dataset!r}. Known here: {', '.join(known)}.",
        field="dataset",
    )


def canonical(dataset: str) -> str:
    """The one form of a run's `dataset`, so that equal choices are one dataset.

    Raises:
        InvalidSpecError: what it chooses makes no sense, or it is too long in this form.
    """
    for source in SOURCES.values():
        dataset = source.canonical(dataset)
    return dataset


def pinned_as(dataset: str) -> str | None:
    """The name that the revision of a run's `dataset` is pinned under; None where it has no revisions."""
    found = (source.pinned_as(dataset) for source in SOURCES.values())
    return next((name for name in found if name is not None), None)
