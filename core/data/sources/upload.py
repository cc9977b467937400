"""Datasets that users upload: Parquet files, or a ZIP of labelled images, stored by `core.data.intake`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.sources.catalog import Catalog, KnownDataset, ResolvedDataset, require_digest
from core.errors import NotFoundError

if TYPE_CHECKING:
    from core.domain.sources import ImageSource

KIND = "upload"
FORM = "`ds_…`"
DESCRIPTION = "the id of an uploaded dataset: Parquet files in the image format of Hugging Face, or a ZIP of images"

_ID = re.compile(r"ds_[A-Za-z0-9_-]{1,64}", re.ASCII)


def is_named(dataset: str, *, allowed_hub: Sequence[str]) -> bool:  # noqa: ARG001 - nobody need allow it
    """Whether this could be the id of an upload. Whether it exists is for its store to say."""
    return _ID.fullmatch(dataset) is not None


def known_names(*, allowed_hub: Sequence[str]) -> list[str]:  # noqa: ARG001
    """The names, for an error that lists what there is."""
    return ["and the ids (ds_…) that an upload returns"]


def canonical(dataset: str) -> str:
    """The id as it is."""
    return dataset


def pinned_as(dataset: str) -> str | None:  # noqa: ARG001
    """Nothing is pinned: a stored dataset never changes."""
    return None


def every(catalog: Catalog) -> Iterable[KnownDataset]:
    """The tenant's uploads."""
    return catalog.uploads()


def resolve(dataset: str, catalog: Catalog) -> ResolvedDataset:
    """Facts that were found when it was stored.

    Raises:
        NotFoundError: the tenant has no such dataset.
    """
    return catalog.upload(dataset)


def open_images(dataset: str, *, folder: Path | None, expected_digest: str | None) -> "ImageSource":
    """Open the folder that intake has written.

    Raises:
        NotFoundError: there is no folder.
        SourceUnavailableError: it cannot be read, or is not what the run was accepted with.
    """
    from core.data.uploaded import UploadedSource

    if folder is None:
        raise NotFoundError(f"The dataset {dataset} is not stored any more.")
    source = UploadedSource(folder)
    require_digest(dataset, source.facts, expected=expected_digest)
    return source
