"""Assign the rows of uploaded files to classes and splits. No image is read."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.data import splits
from core.data.image_file import ImageFile
from core.data.ingest.opening import UploadedFile, open_files
from core.data.labels import encode_labels, refuse_single_class
from core.data.limits import MAX_ENTRIES, MAX_PIXELS
from core.data.stored import NAMES_FILE, FileRows
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

BoolArray: TypeAlias = NDArray[np.bool_]
SHOWN_CLASSES = 5
"""Number of classes that an error message names."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The class and the split of each row.

    Attributes:
        files: the files, or splits of a ZIP, that the dataset uses, in order.
        labels: for each file, (rows,) int64 indices into `class_names`.
        evaluates: for each file, (rows,) bool, True if the row belongs to the evaluation split.
        class_names: C names.
        rule: the rule that assigned the rows to splits, as `Splits.rule` of the report.
        unused: names of the files, or of the splits of a ZIP, that the dataset does not use.
        ignored: names of the files in a ZIP that are not images of the dataset.
    """

    files: list[ImageFile]
    labels: list[IntArray]
    evaluates: list[BoolArray]
    class_names: tuple[str, ...]
    rule: str
    unused: list[str]
    ignored: list[str]

    def of(self, *, evaluation: bool) -> IntArray:
        """Return the labels of one split.

        Args:
            evaluation: True: the evaluation split. False: the training split.

        Returns:
            (M,) int64 indices into `class_names`, in the order of files and rows.
        """
        parts = zip(self.labels, self.evaluates, strict=True)
        return np.concatenate([labels[rows == evaluation] for labels, rows in parts])

    def rows(self, *, evaluation: bool) -> list[FileRows]:
        """Return the number of rows of each file in one split, without files that have no such row.

        Args:
            evaluation: True: the evaluation split. False: the training split.
        """
        counts = [int((rows == evaluation).sum()) for rows in self.evaluates]
        return [{"file": file.name, "rows": n} for file, n in zip(self.files, counts, strict=True) if n]

    def without(self, broken: Sequence[Collection[int]]) -> "Assignment":
        """Return the assignment without some rows.

        Args:
            broken: for each file, the indices of the rows to remove.
        """
        kept = [~np.isin(np.arange(len(part)), list(rows)) for part, rows in zip(self.labels, broken, strict=True)]
        labels = [part[rows] for part, rows in zip(self.labels, kept, strict=True)]
        evaluates = [part[rows] for part, rows in zip(self.evaluates, kept, strict=True)]
        return replace(self, labels=labels, evaluates=evaluates)


def uploaded_files(source: Path) -> list[UploadedFile]:
    """List the uploaded files of a folder.

    Args:
        source: folder with the files and, if the user's names differ, a `names.json`.

    Returns:
        The files, sorted by the user's names, so that equal uploads have equal digests.
    """
    names_file = source / NAMES_FILE
    names = json.loads(names_file.read_text()) if names_file.exists() else {}
    files = [
        UploadedFile(path, names.get(path.name, path.name))
        for path in source.iterdir()
        if path != names_file and path.is_file()
    ]
    return sorted(files, key=lambda file: (file.name, file.path.name))


def assign(
    files: Sequence[UploadedFile], *, max_entries: int = MAX_ENTRIES, max_pixels: int = MAX_PIXELS
) -> Assignment:
    """Read the labels and assign each row to a split. No image is read.

    Args:
        files: one ZIP, or Parquet files.
        max_entries: maximum number of entries of a ZIP.
        max_pixels: maximum number of pixels of an image.

    Returns:
        The assignment. Both splits are usable.

    Raises:
        InvalidDatasetError: the files, columns, labels or splits cannot be used.
    """
    opened = open_files(files, max_entries=max_entries, max_pixels=max_pixels)
    used = opened.files
    labels, names = encode_labels([file.labels() for file in used], used[0].columns, files=[file.name for file in used])
    if opened.evaluates is not None:
        rule = used[0].splits_by
        evaluates = [np.full(len(part), side) for side, part in zip(opened.evaluates, labels, strict=True)]
    else:
        rule = f"a fifth of each class, seed {splits.SPLIT_SEED}"
        mask = np.zeros(sum(map(len, labels)), bool)
        mask[splits.by_row(np.concatenate(labels))[1]] = True
        evaluates = np.split(mask, np.cumsum([len(part) for part in labels])[:-1])
    assignment = Assignment(used, labels, evaluates, names, rule, opened.unused, opened.ignored)
    refuse_unusable(assignment)
    return assignment


def refuse_unusable(assignment: Assignment) -> None:
    """Check that both splits are usable.

    Args:
        assignment: the assignment of all rows that the dataset keeps.

    Raises:
        InvalidDatasetError: the evaluation split has fewer than `splits.MIN_EVALUATION` images; the training split is
            empty or has one class; or a class of the evaluation split of a ZIP has no training image.
    """
    train, evaluation = (assignment.of(evaluation=side) for side in (False, True))
    if len(evaluation) < splits.MIN_EVALUATION:
        raise InvalidDatasetError(
            f"The evaluation split has {len(evaluation)} images (split by {assignment.rule}): at least "
            f"{splits.MIN_EVALUATION} are needed. Upload more images."
        )
    if not len(train):
        raise InvalidDatasetError("The training split has no image that can be used: repair or add images.")
    first = assignment.files[0]
    refuse_single_class(train, assignment.class_names, place=first.columns.label_place, split="training")
    untrained = np.setdiff1d(evaluation, train)
    if first.every_class_trains and len(untrained):
        named = ", ".join(repr(assignment.class_names[index]) for index in untrained[:SHOWN_CLASSES])
        raise InvalidDatasetError(
            f"{len(untrained)} classes have evaluation images, but no training images ({named}): give each class the "
            "same name in both splits, or leave these classes out."
        )
