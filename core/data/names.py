"""The name of a dataset in a run: `digits`, `hub:<owner>/<name>` with or without choices, or the id of an upload."""

import re
from collections.abc import Sequence
from enum import StrEnum

from core.data.builtin import BUILTIN
from core.domain import hub_dataset
from core.domain.hub_dataset import HUB_PREFIX
from core.errors import UnknownDatasetError

_UPLOAD = re.compile(r"ds_[A-Za-z0-9_-]{1,64}", re.ASCII)


class DatasetKind(StrEnum):
    """Where a dataset comes from."""

    BUILTIN = "builtin"
    HUB = "hub"
    UPLOAD = "upload"


def kind_of(dataset: str, *, allowed_hub: Sequence[str]) -> DatasetKind:
    """Where the dataset of this name comes from. Whether an upload exists is for its store to say.

    >>> kind_of("hub:uoft-cs/cifar10", allowed_hub=["uoft-cs/cifar10"])
    <DatasetKind.HUB: 'hub'>

    Raises:
        UnknownDatasetError: the name is of no such form, or a hub id that the operator does not allow.
        InvalidSpecError: what is chosen of a hub dataset makes no sense.
    """
    if dataset in BUILTIN:
        return DatasetKind.BUILTIN
    hub = hub_dataset.read(dataset)
    if hub and hub.id in allowed_hub:
        return DatasetKind.HUB
    if _UPLOAD.fullmatch(dataset):
        return DatasetKind.UPLOAD
    raise unknown(dataset, allowed_hub=allowed_hub)


def unknown(dataset: str, *, allowed_hub: Sequence[str]) -> UnknownDatasetError:
    """The error that lists what there is instead."""
    known = ", ".join([*BUILTIN, *(HUB_PREFIX + name for name in allowed_hub)])
    return UnknownDatasetError(
        f"There is no dataset {dataset!r}. Known here: {known}, and the ids (ds_…) that an upload returns.",
        field="dataset",
    )
