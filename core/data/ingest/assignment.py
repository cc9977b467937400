"""Which rows of the uploaded files train, which evaluate, and their labels: all that needs no image."""

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


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which rows train and which evaluate.

    Attributes:
        files: the files that are used, in order.
        labels: (rows,) class indices of each file.
        evaluates: (rows,) bool for each file: the row is in the evaluation split.
        class_names: C names.
        rule: how the rows were split.
        unused: names of the files that are not used.
        ignored: names of the files in a ZIP that are no images.
    """

    files: list[ImageFile]
    labels: list[IntArray]
    evaluates: list[BoolArray]
    class_names: tuple[str, ...]
    rule: str
    unused: list[str]
    ignored: list[str]

    def of(self, *, evaluation: bool) -> IntArray:
        """Labels of one split, in order."""
        parts = zip(self.labels, self.evaluates, strict=True)
        return np.concatenate([labels[rows == evaluation] for labels, rows in parts])

    def rows(self, *, evaluation: bool) -> list[FileRows]:
        """How many rows of each file belong to a split."""
        counts = [int((rows == evaluation).sum()) for rows in self.evaluates]
        return [{"file": file.name, "rows": n} for file, n in zip(self.files, counts, strict=True) if n]

    def without(self, broken: Sequence[Collection[int]]) -> "Assignment":
        """The same, but for some rows of each file."""
        kept = [~np.isin(np.arange(len(part)), list(rows)) for part, rows in zip(self.labels, broken, strict=True)]
        labels = [part[rows] for part, rows in zip(self.labels, kept, strict=True)]
        evaluates = [part[rows] for part, rows in zip(self.evaluates, kept, strict=True)]
        return replace(self, labels=labels, evaluates=evaluates)


def uploaded_files(source: Path) -> list[UploadedFile]:
    """The files of a folder, sorted by the user's names, so that equal uploads are equal datasets."""
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
    """Read labels and decide the splits, before any image is read.

    Args:
        files: one ZIP, or Parquet files.
        max_entries: most entries of a ZIP.
        max_pixels: most pixels of an image.

    Raises:
        InvalidDatasetError: files, columns, labels or splits cannot be used.
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
    """Check that there is something to learn, and something to evaluate.

    Raises:
        InvalidDatasetError: the evaluation split is too small, the training split has one class, or a class that is
            evaluated has no image to train on where that must be a mistake.
    """
    train, evaluation = (assignment.of(evaluation=side) for side in (False, True))
    if len(evaluation) < splits.MIN_EVALUATION:
        raise InvalidDatasetError(
            f"The evaluation split has {len(evaluation)} images (split by {assignment.rule}): at least "
            f"{splits.MIN_EVALUATION} are needed. Upload more images."
        )
    if not len(train):
        raise InvalidDatasetError("The training split has no image that can be used: repair or add some.")
    first = assignment.files[0]
    refuse_single_class(train, assignment.class_names, place=first.columns.label_place, split="training")
    untrained = np.setdiff1d(evaluation, train)
    if first.every_class_trains and len(untrained):
        named = ", ".join(repr(assignment.class_names[index]) for index in untrained[:SHOWN_CLASSES])
        raise InvalidDatasetError(
            f"{len(untrained)} classes are evaluated, but have no image to train on ({named}): give the classes the "
            "same names in both splits, or leave these out."
        )
