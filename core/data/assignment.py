"""Which rows of the uploaded files train, which evaluate, and their labels: all that needs no image."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.data import splits
from core.data.intake import NAMES_FILE, FileRows
from core.data.labels import encode_labels, refuse_single_class
from core.data.parquet import ParquetImages, open_parquet, refuse_different
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

BoolArray: TypeAlias = NDArray[np.bool_]


class UploadedFile(NamedTuple):
    """A file on disk and what the user called it."""

    path: Path
    name: str


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
    """

    files: list[ParquetImages]
    labels: list[IntArray]
    evaluates: list[BoolArray]
    class_names: tuple[str, ...]
    rule: str
    unused: list[str]

    def of(self, *, evaluation: bool) -> IntArray:
        """Labels of one split, in order."""
        parts = zip(self.labels, self.evaluates, strict=True)
        return np.concatenate([labels[rows == evaluation] for labels, rows in parts])

    def rows(self, *, evaluation: bool) -> list[FileRows]:
        """How many rows of each file belong to a split."""
        counts = [int((rows == evaluation).sum()) for rows in self.evaluates]
        return [{"file": file.name, "rows": n} for file, n in zip(self.files, counts, strict=True) if n]


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


def assign(files: Sequence[UploadedFile]) -> Assignment:
    """Read labels and decide the splits, before any image is read.

    Raises:
        InvalidDatasetError: files, columns, labels or splits cannot be used.
    """
    if not files:
        raise InvalidDatasetError("No file was uploaded: send at least one Parquet file.")
    chosen = splits.by_file_name([file.name for file in files])
    used = (*chosen.train, *chosen.evaluation)
    opened = [open_parquet(files[index].path, name=files[index].name) for index in used]
    refuse_different(opened)
    columns = opened[0].columns
    labels, names = encode_labels([file.labels() for file in opened], columns, files=[file.name for file in opened])
    if chosen.evaluation:
        rule = "file names"
        evaluates = [np.full(len(part), index in chosen.evaluation) for index, part in zip(used, labels, strict=True)]
    else:
        rule = f"a fifth of each class, seed {splits.SPLIT_SEED}"
        mask = np.zeros(sum(map(len, labels)), bool)
        mask[splits.by_row(np.concatenate(labels))[1]] = True
        evaluates = np.split(mask, np.cumsum([len(part) for part in labels])[:-1])
    assignment = Assignment(opened, labels, evaluates, names, rule, [files[index].name for index in chosen.unused])
    _refuse_small(assignment)
    return assignment


def _refuse_small(assignment: Assignment) -> None:
    size = len(assignment.of(evaluation=True))
    if size < splits.MIN_EVALUATION:
        raise InvalidDatasetError(
            f"The evaluation split has {size} images (split by {assignment.rule}): at least "
            f"{splits.MIN_EVALUATION} are needed. Upload more images."
        )
    train = assignment.of(evaluation=False)
    refuse_single_class(train, assignment.class_names, column=assignment.files[0].columns.label, split="training")
