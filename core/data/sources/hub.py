"""Datasets of the Hugging Face hub, loaded with the `datasets` library.

`core.domain.hub_dataset` reads the options in a dataset's name. Without options, the columns are found by their
features, and the evaluation split is `validation`, else `test`, else a fifth of each class of the training split.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.sources.catalog import Catalog, KnownDataset, ResolvedDataset, require_digest
from core.domain import hub_dataset
from core.domain.hub_dataset import HUB_PREFIX, HubDataset
from core.domain.spec import DatasetFacts
from core.errors import InvalidDatasetError, SourceUnavailableError

if TYPE_CHECKING:
    from datasets import Dataset

    from core.data.columns import Columns
    from core.data.images import EncodedImages
    from core.domain.arrays import ImageArray, IntArray
    from core.domain.sources import ImageSource, Split

KIND = "hub"
FORM = "`hub:<owner>/<name>`"
DESCRIPTION = "a dataset of the Hugging Face hub that the operator allows; options may follow a `?`"

MEASURED_IMAGES = 256
"""Number of training images whose median size is the image size of a dataset. Chosen by hand; not measured."""

_COMMIT = re.compile(r"[0-9a-f]{40}")

BuilderLoader = Callable[..., Any]


def is_named(dataset: str, *, allowed_hub: Sequence[str]) -> bool:
    """Return True if this is the name of a hub dataset that the operator allows.

    Args:
        dataset: the run's `dataset`.
        allowed_hub: ids of the Hugging Face hub that the operator allows.

    Raises:
        InvalidSpecError: the name is a hub name with invalid options.
    """
    named = hub_dataset.read(dataset)
    return named is not None and named.id in allowed_hub


def known_names(*, allowed_hub: Sequence[str]) -> list[str]:
    """Return the names, without options, of all allowed datasets.

    Args:
        allowed_hub: ids of the Hugging Face hub that the operator allows.
    """
    return [HUB_PREFIX + name for name in allowed_hub]


def canonical(dataset: str) -> str:
    """Return the name with sorted options and without options that equal the default.

    Args:
        dataset: the run's `dataset`. Names of other sources do not change.

    Raises:
        InvalidSpecError: the options are invalid, or the canonical form is too long.
    """
    return hub_dataset.canonical(dataset)


def pinned_as(dataset: str) -> str | None:
    """Return the name without options. All runs of a dataset use the same commit, whatever their options.

    Args:
        dataset: the run's `dataset`.

    Returns:
        `hub:<owner>/<name>`; None if the dataset is not a hub dataset.
    """
    named = hub_dataset.read(dataset)
    return named.source if named else None


def every(catalog: Catalog) -> Iterable[KnownDataset]:
    """Return the datasets that the operator allows."""
    return [KnownDataset(HUB_PREFIX + name, name) for name in catalog.allowed_hub]


def resolve(dataset: str, catalog: Catalog) -> ResolvedDataset:
    """Return the digest with the pinned commit. The facts are None, because only a worker can determine them.

    Args:
        dataset: a hub name.
        catalog: the source of the pinned commit, which exists after the first download.
    """
    source = hub_dataset.pinned_as(dataset)
    revision = catalog.pinned_revision(source) or hub_dataset.UNRESOLVED
    return ResolvedDataset(None, f"{source}@{revision}", source.removeprefix(HUB_PREFIX))


def open_images(dataset: str, *, folder: Path | None, expected_digest: str | None) -> "ImageSource":  # noqa: ARG001
    """Load a dataset from the hub or the local cache, and open the dataset.

    Args:
        dataset: a hub name, with or without options.
        folder: not used.
        expected_digest: a commit, or a digest that ends in `@<commit>`: load this commit. Any other value, or None:
            load the newest commit.

    Raises:
        InvalidSpecError: the options are invalid.
        SourceUnavailableError: as for `open_hub_dataset`, or another commit was loaded.
        InvalidDatasetError: as for `open_hub_dataset`.
    """
    commit = (expected_digest or "").rpartition("@")[2]
    revision = commit if _COMMIT.fullmatch(commit) else None
    source = open_hub_dataset(hub_dataset.require(dataset), revision=revision)
    require_digest(dataset, source.facts, expected=revision)
    return source


def open_hub_dataset(
    dataset: HubDataset, *, revision: str | None = None, load_builder: BuilderLoader | None = None
) -> "ImageSource":
    """Load a dataset from the hub or the local cache, and open the dataset.

    Args:
        dataset: the id and the options.
        revision: commit to load. None: the newest commit.
        load_builder: replaces `datasets.load_dataset_builder` in tests. None: use the library.

    Returns:
        The dataset. The digest in its facts is the commit.

    Raises:
        SourceUnavailableError: the hub cannot be reached, or has no such dataset, configuration or commit.
        InvalidDatasetError: the columns, labels or splits are not usable, or a requested column or split does not
            exist.
    """
    import numpy as np

    from core.data import splits
    from core.data.columns import find_columns
    from core.data.labels import encode_labels
    from core.data.sources.opened import OpenedDataset

    digest, loaded = _download(dataset, revision, load_builder)
    held_out = _held_out(dataset, tuple(loaded))
    used = [dataset.train, held_out] if held_out else [dataset.train]
    columns = find_columns(
        loaded[dataset.train].features.arrow_schema,
        file=str(dataset),
        image=dataset.image,
        label=dataset.label,
        several="choose one with the option ?{role}=… after the name of the dataset",
    )
    files = [f"{dataset}, split {split}" for split in used]
    label_columns = [
        loaded[split].select_columns([columns.label]).with_format("arrow")[:].column(columns.label) for split in used
    ]
    labels, classes = encode_labels(label_columns, columns, files=files)
    train, evaluation = (np.arange(len(part)) for part in (labels[0], labels[-1]))
    if held_out is None:
        train, evaluation = splits.by_row(labels[0], share=dataset.share or splits.EVALUATION_SHARE)
    encoded = [_Encoded(loaded[split], columns, file) for split, file in zip(used, files, strict=True)]
    reader = _Reader(
        str(dataset),
        rows={"train": train, "evaluation": evaluation},
        encoded={"train": encoded[0], "evaluation": encoded[-1]},
    )
    return OpenedDataset(
        facts=DatasetFacts(digest=digest, class_names=classes, train_size=len(train), evaluation_size=len(evaluation)),
        labels_of={"train": labels[0][train], "evaluation": labels[-1][evaluation]},
        squares=reader.squares,
        measure=reader.measure,
    )


class _Reader:
    """Decodes the images of both splits.

    Args:
        name: name of the dataset for an error message.
        rows: for each split, (M,) int64, the row in `encoded` of each image of the split.
        encoded: for each split, the encoded images.
    """

    def __init__(
        self, name: str, *, rows: "Mapping[Split, IntArray]", encoded: "Mapping[Split, EncodedImages]"
    ) -> None:
        self._name, self._rows, self._encoded = name, rows, encoded

    def measure(self) -> int:
        """Return the median of the longer sides of up to MEASURED_IMAGES evenly spaced training images, in pixels."""
        import numpy as np

        from core.data.images import measure

        rows = self._rows["train"]
        sample = rows[np.linspace(0, len(rows) - 1, min(MEASURED_IMAGES, len(rows))).astype(np.int64)]
        return int(np.median([max(measure(self._encoded["train"][int(row)])) for row in sample]))

    def squares(self, split: "Split", rows: "IntArray", size: int) -> "ImageArray":
        """Decode images of a split, as `core.data.images.squares` does.

        Args:
            split: `train` or `evaluation`.
            rows: (n,) int64, rows of the split.
            size: side of the returned images in pixels.

        Returns:
            (n, size, size, 3) uint8 RGB, in the order of `rows`.

        Raises:
            InvalidDatasetError: an image cannot be decoded.
        """
        from core.data.images import squares

        try:
            return squares(self._encoded[split], self._rows[split][rows].tolist(), size=size)
        except InvalidDatasetError as error:
            raise InvalidDatasetError(f"{self._name}: {error.detail}") from error


class _Encoded:
    """The encoded images of a split of the hub dataset, indexed by row.

    Args:
        dataset: the split.
        columns: the image column and the label column.
        name: name of the split for an error message.
    """

    def __init__(self, dataset: "Dataset", columns: "Columns", name: str) -> None:
        self._dataset = dataset.select_columns([columns.image]).with_format("arrow")
        self._column, self._name = columns.image, name

    def __getitem__(self, row: int) -> bytes:
        from core.data.columns import path_only

        value = self._dataset[row : row + 1].column(self._column)[0].as_py()
        encoded: bytes | None = value["bytes"] if isinstance(value, dict) else value
        if value is None:
            raise InvalidDatasetError("no image")
        if encoded is None:
            raise InvalidDatasetError(path_only(self._name, self._column))
        return encoded


def _held_out(dataset: HubDataset, found: Sequence[str]) -> str | None:
    """Return the evaluation split of the hub dataset.

    Args:
        dataset: the id and the options.
        found: names of the splits that the hub dataset has.

    Returns:
        The name of the split; None if a fraction of the training split is held out.

    Raises:
        InvalidDatasetError: a split that the options or the defaults require does not exist.
    """
    for split in (dataset.train, dataset.evaluation):
        if split is not None and split not in found:
            raise InvalidDatasetError(
                f"{dataset} has no split {split!r} (found: {', '.join(found)}): choose the splits with the options "
                "?train=…&evaluation=… after the name of the dataset, or choose another dataset."
            )
    if dataset.evaluation or dataset.share:
        return dataset.evaluation
    return next((split for split in ("validation", "test") if split in found and split != dataset.train), None)


def _download(
    dataset: HubDataset, revision: str | None, load_builder: BuilderLoader | None
) -> tuple[str, Mapping[str, Any]]:
    load = load_builder or importlib.import_module("datasets").load_dataset_builder
    try:
        builder = load(dataset.id, name=dataset.config, revision=revision)
        builder.download_and_prepare()
        return str(builder.hash), builder.as_dataset()
    except Exception as error:  # the library, the hub's client and the file system have different exceptions
        raise SourceUnavailableError(
            f"The dataset {dataset} cannot be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {error}). Check this machine's connection, the dataset's name and, if there are "
            "several configurations, the option ?config=…, or upload the dataset as Parquet files."
        ) from error
