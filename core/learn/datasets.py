"""Opening of datasets by name, and loading of the training images and the probe set.

`core.data.sources` has a module for each source. A source imports heavy libraries only when a dataset is opened, so a
training on digits never imports `datasets`.
"""

from collections.abc import Sequence
from pathlib import Path

from core.data import sources, splits
from core.domain.arrays import IntArray, ProbeSet
from core.domain.sources import ImageSource, LabelledImages
from core.errors import InvalidSpecError, NotFoundError

MAX_BYTES = 4 << 30
"""Memory limit of one set of decoded images, bytes: 1.4 million images of 32 x 32 pixels, or 28,500 images of 224 x 224
pixels. Chosen by hand; not measured."""


def open_source(
    dataset: str, *, uploaded: Path | None, allowed_hub: Sequence[str], expected_digest: str | None = None
) -> ImageSource:
    """Open a dataset by its name in a run.

    Args:
        dataset: a name in the form of one of the sources.
        uploaded: folder of the stored dataset; None if the dataset is not an upload, or if the upload is deleted.
        allowed_hub: ids of the hub datasets that the operator allows.
        expected_digest: the dataset's digest at the time when the run was accepted; None means any digest. The digest
            of a hub dataset may contain a commit. This commit is loaded. Without a commit the newest commit is
            loaded, and `facts.digest` of the result contains this commit.

    Returns:
        The opened dataset.

    Raises:
        UnknownDatasetError: there is no such dataset, or the operator does not allow the dataset.
        InvalidSpecError: the choices in the name of a hub dataset are invalid.
        SourceUnavailableError: the dataset cannot be read now, or has another digest than expected.
        InvalidDatasetError: a hub dataset lacks a usable image column, label column or split, or lacks the chosen
            columns or splits.
    """
    named = sources.source_of(dataset, allowed_hub=allowed_hub)
    try:
        return named.open_images(dataset, folder=uploaded, expected_digest=expected_digest)
    except NotFoundError as error:
        raise sources.unknown(dataset, allowed_hub=allowed_hub) from error


def load_training_images(
    source: ImageSource, *, train_size: int | None, size: int, seed: int, max_bytes: int = MAX_BYTES
) -> LabelledImages:
    """Load the training images, decoded and resized once.

    Args:
        source: an opened dataset.
        train_size: number of images, stratified by class; None means the whole training split.
        size: S, side of the resized images, pixels.
        seed: determines which images of each class are selected.
        max_bytes: memory limit of the decoded images, bytes.

    Returns:
        (M, S, S, 3) uint8 RGB images and (M,) int64 labels, in the order of the split.

    Raises:
        InvalidSpecError: train_size exceeds the size of the split, or the images exceed max_bytes.
    """
    rows = training_rows(source, train_size=train_size, seed=seed)
    _refuse_too_large(len(rows), size, max_bytes, field="train.train_size")
    return LabelledImages(images=source.images("train", rows, size=size), labels=source.labels("train")[rows])


def training_rows(source: ImageSource, *, train_size: int | None, seed: int) -> IntArray:
    """Select the rows of the training split that `load_training_images` loads.

    Args:
        source: an opened dataset.
        train_size: number of images, stratified by class; None means the whole training split.
        seed: determines which images of each class are selected.

    Returns:
        (M,) int64 rows, rising.

    Raises:
        InvalidSpecError: train_size exceeds the size of the split.
    """
    return _rows(source.labels("train"), train_size, seed=seed, field="train.train_size", split="training")


def load_probe_set(
    source: ImageSource, *, probe_size: int, size: int, seed: int, max_bytes: int = MAX_BYTES
) -> ProbeSet:
    """Load the probe set: images of the evaluation split, stratified by class.

    Args:
        source: an opened dataset.
        probe_size: N, number of images.
        size: S, side of the resized images, pixels.
        seed: determines which images of each class are selected.
        max_bytes: memory limit of the decoded images, bytes.

    Returns:
        (N, S, S, 3) uint8 RGB images, (N,) int64 labels and rows of the split, and the class names.

    Raises:
        InvalidSpecError: probe_size exceeds the size of the split, or the images exceed max_bytes.
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
            f"{n_images:,} images of {size} x {size} pixels exceed the limit of "
            f"{max_bytes / (1 << 30):.3g} GiB for decoded images: set {field} to at most {most}, or choose "
            "a model with a smaller input.",
            field=field,
        )
