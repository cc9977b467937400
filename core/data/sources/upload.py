"""Uploaded datasets: Parquet files, or a ZIP of labelled images, which `core.data.intake` has stored."""

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
DESCRIPTION = "the id of an uploaded dataset: Parquet files in Hugging Face image format, or a ZIP of images"

_ID = re.compile(r"ds_[A-Za-z0-9_-]{1,64}", re.ASCII)


def is_named(dataset: str, *, allowed_hub: Sequence[str]) -> bool:  # noqa: ARG001 - needs no permission
    """Return True if the name has the form of an upload's id. The dataset need not exist."""
    return _ID.fullmatch(dataset) is not None


def known_names(*, allowed_hub: Sequence[str]) -> list[str]:  # noqa: ARG001
    """Return a phrase that stands for the ids of all uploads at the end of a list."""
    return ["and the ids (ds_…) that an upload returns"]


def canonical(dataset: str) -> str:
    """Return the id unchanged. It is already canonical."""
    return dataset


def pinned_as(dataset: str) -> str | None:  # noqa: ARG001
    """Return None: a stored dataset never changes, so nothing is pinned."""
    return None


def every(catalog: Catalog) -> Iterable[KnownDataset]:
    """Return the tenant's uploaded datasets, newest first."""
    return catalog.uploads()


def resolve(dataset: str, catalog: Catalog) -> ResolvedDataset:
    """Return the facts and the digest that the intake has stored.

    Args:
        dataset: id of the dataset.
        catalog: the uploaded datasets of one tenant.

    Raises:
        NotFoundError: the tenant has no such dataset.
    """
    return catalog.upload(dataset)


def open_images(dataset: str, *, folder: Path | None, expected_digest: str | None) -> "ImageSource":
    """Open the folder that the intake has written.

    Args:
        dataset: id of the dataset.
        folder: folder of the stored dataset. None: the dataset is no longer stored.
        expected_digest: digest with which the run was accepted. None: accept any digest.

    Raises:
        NotFoundError: `folder` is None.
        SourceUnavailableError: the folder cannot be read, or the digest is not `expected_digest`.
    """
    from core.data.uploaded import UploadedSource

    if folder is None:
        raise NotFoundError(f"The dataset {dataset} is no longer stored: upload it again and start a new run.")
    source = UploadedSource(folder)
    require_digest(dataset, source.facts, expected=expected_digest)
    return source
