"""The datasets that a run can learn from, opened by name, and the two sets of images that learning takes.

Heavy libraries are imported by the source that needs them: who learns on digits never loads `datasets`.
"""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from core.data import splits
from core.data.builtin import BUILTIN, DIGITS, DIGITS_IMAGE_SIZE
from core.data.columns import Columns, find_columns, path_only
from core.data.images import measure, squares, to_square
from core.data.labels import encode_labels
from core.data.names import DatasetKind, kind_of, unknown
from core.data.uploaded import UploadedSource
from core.domain import hub_dataset
from core.domain.arrays import ImageArray, IntArray, ProbeSet
from core.domain.hub_dataset import HubDataset
from core.domain.sources import ImageSource, LabelledImages, Split
from core.domain.spec import DatasetFacts
from core.errors import InvalidDatasetError, InvalidSpecError, SourceUnavailableError

if TYPE_CHECKING:
    from datasets import Dataset
    from pyarrow import ChunkedArray

MAX_BYTES = 4 << 30
"""Decoded images that a process holds: 4 GiB are 1.4 million images of 32 pixels, or 28,500 of 224."""

MEASURED_IMAGES = 256
_COMMIT = re.compile(r"[0-9a-f]{40}")

BuilderLoader = Callable[..., Any]


def open_source(
    dataset: str, *, uploaded: Path | None, allowed_hub: Sequence[str], expected_digest: str | None = None
) -> ImageSource:
    """Open a dataset by its name in a run.

    Args:
        dataset: `digits`, `hub:<owner>/<name>`, maybe with choices, or `ds_…`.
        uploaded: folder of the stored dataset, None where it is none that somebody uploaded, or is gone.
        allowed_hub: hub ids that may be loaded.
        expected_digest: what the run was accepted with. For a hub dataset a commit is loaded and required,
            and anything else means the newest; `facts.digest` tells which commit that was.

    Raises:
        UnknownDatasetError: there is no such dataset.
        SourceUnavailableError: it cannot be read now, or is no longer what the run was accepted with.
        InvalidDatasetError: a hub dataset has no usable image or label column or splits, or not those that are asked
            for.
    """
    kind = kind_of(dataset, allowed_hub=allowed_hub)
    source: ImageSource
    hub = hub_dataset.read(dataset)
    if hub:
        revision = expected_digest if expected_digest and _COMMIT.fullmatch(expected_digest) else None
        source, expected_digest = HubSource(hub, revision=revision), revision
    elif kind is DatasetKind.UPLOAD:
        if uploaded is None:
            raise unknown(dataset, allowed_hub=allowed_hub)
        source = UploadedSource(uploaded)
    else:
        source = DigitsSource()
    if expected_digest is not None and source.facts.digest != expected_digest:
        raise SourceUnavailableError(
            f"The dataset {dataset} is no longer what this run was accepted with (it was "
            f"{expected_digest}, it is {source.facts.digest}): start a new run."
        )
    return source


def load_training_images(
    source: ImageSource, *, train_size: int | None, size: int, seed: int, max_bytes: int = MAX_BYTES
) -> LabelledImages:
    """The images to train on, decoded and resized once.

    Args:
        source: an opened dataset.
        train_size: how many, stratified by class; None: the whole split, in its order.
        size: pixels a side.
        seed: decides which.
        max_bytes: most memory that the decoded images may take.

    Raises:
        InvalidSpecError: more images than the split has, or than fit into memory.
    """
    rows = training_rows(source, train_size=train_size, seed=seed)
    _refuse_too_large(len(rows), size, max_bytes, field="train.train_size")
    return LabelledImages(images=source.images("train", rows, size=size), labels=source.labels("train")[rows])


def training_rows(source: ImageSource, *, train_size: int | None, seed: int) -> IntArray:
    """Which rows of the training split `load_training_images` loads, in its order.

    Raises:
        InvalidSpecError: more images than the split has.
    """
    return _rows(source.labels("train"), train_size, seed=seed, field="train.train_size", split="training")


def load_probe_set(
    source: ImageSource, *, probe_size: int, size: int, seed: int, max_bytes: int = MAX_BYTES
) -> ProbeSet:
    """The images that are embedded at every checkpoint: of the evaluation split, stratified by class.

    Args:
        source: an opened dataset.
        probe_size: how many.
        size: pixels a side.
        seed: decides which.
        max_bytes: most memory that the decoded images may take.

    Raises:
        InvalidSpecError: more images than the split has, or than fit into memory.
    """
    labels = source.labels("evaluation")
    rows = _rows(labels, probe_size, seed=seed, field="capture.probe_size", split="evaluation")
    _refuse_too_large(len(rows), size, max_bytes, field="capture.probe_size")
    return ProbeSet(
        images=source.images("evaluation", rows, size=size),
        labels=labels[rows],
        rows=rows,
        class_names=source.facts.class_names,
    )


def _rows(labels: IntArray, wanted: int | None, *, seed: int, field: str, split: str) -> IntArray:
    wanted = len(labels) if wanted is None else wanted
    if wanted > len(labels):
        raise InvalidSpecError(
            f"{field} is {wanted:,}, but the {split} split has {len(labels):,} images: ask for at most {len(labels)}.",
            field=field,
        )
    return splits.stratified(labels, wanted, seed=seed)


def _refuse_too_large(n_images: int, size: int, max_bytes: int, *, field: str) -> None:
    most = max_bytes // (size * size * 3)
    if n_images > most:
        raise InvalidSpecError(
            f"{n_images:,} images of {size} x {size} pixels do not fit into the "
            f"{max_bytes / (1 << 30):.3g} GiB that a run may hold: set {field} to at most {most}, or choose "
            "a model with smaller images.",
            field=field,
        )


class DigitsSource:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 grey values 0..16."""

    facts = BUILTIN[DIGITS]
    image_size = DIGITS_IMAGE_SIZE

    def labels(self, split: Split) -> IntArray:
        """(M,) int64, the digit, for every row of the split."""
        return np.asarray(self._bunch.target[self._rows[split]], np.int64)

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """(len(rows), size, size, 3) uint8 RGB: the rows asked for, in that order, 0..16 scaled to 0..255."""
        grey = np.rint(self._bunch.images[self._rows[split][rows]] * (255 / 16)).astype(np.uint8)
        squared = [to_square(Image.fromarray(digit).convert("RGB"), size) for digit in grey]
        return np.stack(squared) if squared else np.empty((0, size, size, 3), np.uint8)

    @cached_property
    def _bunch(self) -> Any:  # noqa: ANN401 - scikit-learn is untyped
        return importlib.import_module("sklearn.datasets").load_digits()

    @cached_property
    def _rows(self) -> Mapping[Split, IntArray]:
        target = np.asarray(self._bunch.target)
        evaluation = splits.stratified(target, self.facts.evaluation_size, seed=splits.SPLIT_SEED)
        train = np.setdiff1d(np.arange(len(target)), evaluation, assume_unique=True)
        return {"train": train, "evaluation": evaluation}


class HubSource:
    """A dataset of the Hugging Face hub, through the `datasets` library.

    What is not chosen is found: columns by its features; the evaluation split is `validation`, else `test`, else a
    fifth of each class of the training split.
    """

    def __init__(
        self, dataset: HubDataset, *, revision: str | None = None, load_builder: BuilderLoader | None = None
    ) -> None:
        """Download (or find in the cache) and open.

        Args:
            dataset: its id, and what is chosen of it.
            revision: commit to load; None: the newest.
            load_builder: stands in for `datasets.load_dataset_builder`.

        Raises:
            SourceUnavailableError: the hub cannot be reached, or has no such dataset, configuration or commit.
            InvalidDatasetError: no usable columns, labels or splits, or not those that are asked for.
        """
        self._name = str(dataset)
        digest, loaded = _download(dataset, revision, load_builder)
        held_out = _held_out(dataset, tuple(loaded))
        used = [dataset.train, held_out] if held_out else [dataset.train]
        self._columns = find_columns(
            loaded[dataset.train].features.arrow_schema,
            file=self._name,
            image=dataset.image,
            label=dataset.label,
            several="say which one behind the name of the dataset: ?{role}=…",
        )
        names = [f"{self._name}, split {split}" for split in used]
        labels, classes = encode_labels(
            [_label_column(loaded[s], self._columns) for s in used], self._columns, files=names
        )
        train_rows, evaluation_rows = (np.arange(len(part)) for part in (labels[0], labels[-1]))
        if held_out is None:
            train_rows, evaluation_rows = splits.by_row(labels[0], share=dataset.share or splits.EVALUATION_SHARE)
        self._rows: Mapping[Split, IntArray] = {"train": train_rows, "evaluation": evaluation_rows}
        self._labels: Mapping[Split, IntArray] = {
            "train": labels[0][train_rows],
            "evaluation": labels[-1][evaluation_rows],
        }
        self._encoded = {"train": _Encoded(loaded[used[0]], self._columns, names[0])}
        self._encoded["evaluation"] = _Encoded(loaded[used[-1]], self._columns, names[-1])
        self.facts = DatasetFacts(
            digest=digest,
            class_names=classes,
            train_size=len(train_rows),
            evaluation_size=len(evaluation_rows),
        )

    @cached_property
    def image_size(self) -> int:
        """Median of the longer sides of 256 training images, pixels."""
        rows = self._rows["train"]
        sample = rows[np.linspace(0, len(rows) - 1, min(MEASURED_IMAGES, len(rows))).astype(np.int64)]
        return int(np.median([max(measure(self._encoded["train"][int(row)])) for row in sample]))

    def labels(self, split: Split) -> IntArray:
        """(M,) int64, index into the class names, for every row of the split."""
        return self._labels[split]

    def images(self, split: Split, rows: IntArray, *, size: int) -> ImageArray:
        """(len(rows), size, size, 3) uint8 RGB: the rows asked for, in that order, scaled and cropped."""
        try:
            return squares(self._encoded[split], self._rows[split][rows].tolist(), size=size)
        except InvalidDatasetError as error:
            raise InvalidDatasetError(f"{self._name}: {error.detail}") from error


class _Encoded:
    """The undecoded images of a hub split, by row."""

    def __init__(self, dataset: "Dataset", columns: Columns, name: str) -> None:
        self._dataset = dataset.select_columns([columns.image]).with_format("arrow")
        self._column, self._name = columns.image, name

    def __getitem__(self, row: int) -> bytes:
        value = self._dataset[row : row + 1].column(self._column)[0].as_py()
        encoded: bytes | None = value["bytes"] if isinstance(value, dict) else value
        if value is None:
            raise InvalidDatasetError("no image")
        if encoded is None:
            raise InvalidDatasetError(path_only(self._name, self._column))
        return encoded


def _label_column(dataset: "Dataset", columns: Columns) -> "ChunkedArray":
    return dataset.select_columns([columns.label]).with_format("arrow")[:].column(columns.label)


def _held_out(dataset: HubDataset, found: Sequence[str]) -> str | None:
    """The split that evaluates; None where a share of the training split does."""
    for split in (dataset.train, dataset.evaluation):
        if split is not None and split not in found:
            raise InvalidDatasetError(
                f"{dataset} has no split {split!r} (found: {', '.join(found)}): say which one trains and which one "
                "evaluates behind the name of the dataset, ?train=…&evaluation=…, or choose another."
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
    except Exception as error:  # the library, the hub's client and the file system each have their own
        raise SourceUnavailableError(
            f"The dataset {dataset} cannot be loaded from the Hugging Face hub "
            f"({type(error).__name__}: {error}). Check this machine's connection, the dataset's name and, where it has "
            "several, its configuration (?config=…), or upload it as a Parquet file."
        ) from error
