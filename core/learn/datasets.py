"""The datasets that a run can learn from, opened by name, and the two sets of images that learning takes.

`core.data.sources` has a module for each source. A source imports heavy libraries when it opens a dataset: a training
on digits never loads `datasets`.
"""

from collections.abc import Sequence
from pathlib import Path

from core.data import sources, splits
from core.domain.arrays import IntArray, ProbeSet
from core.domain.sources import ImageSource, LabelledImages
from core.errors import InvalidSpecError, NotFoundError

MAX_BYTES = 4 << 30
"""Decoded images that a process holds: 4 GiB are 1.4 million images of 32 pixels, or 28,500 of 224."""


def open_source(
    dataset: str, *, uploaded: Path | None, allowed_hub: Sequence[str], expected_digest: str | None = None
) -> ImageSource:
    """Open a dataset by its name in a run.

    Args:
        dataset: a name that one of the sources takes.
        uploaded: folder of the stored dataset, None where it is none that somebody uploaded, or is gone.
        allowed_hub: hub ids that may be loaded.
        expected_digest: what the run was accepted with. Of a hub dataset the commit in it is loaded and required;
            without a commit the newest one is loaded, and `facts.digest` tells which commit that was.

    Raises:
        UnknownDatasetError: there is no such dataset.
        SourceUnavailableError: it cannot be read now, or is no longer what the run was accepted with.
        InvalidDatasetError: a hub dataset has no usable image or label column or splits, or not those that are asked
            for.
    """
    named = sources.source_of(dataset, allowed_hub=allowed_hub)
    try:
        return named.open_images(dataset, folder=uploaded, expected_digest=expected_digest)
    except NotFoundError as error:
        raise sources.unknown(dataset, allowed_hub=allowed_hub) from error


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
