"""The format of a stored dataset: its files, and its report. This module imports nothing heavy."""

from pathlib import Path
from typing import TypedDict

from core.domain.spec import DatasetFacts

REPORT_FILE = "dataset.json"
NAMES_FILE = "names.json"
SHEET_FILE = "contact_sheet.png"


class FileRows(TypedDict):
    """How many rows of a file belong to a split."""

    file: str
    rows: int


class Splits(TypedDict):
    """How rows were split.

    `rule` is `file names`, `folder names`, `manifest` or `a fifth of each class, seed 0`.
    """

    rule: str
    train: list[FileRows]
    evaluation: list[FileRows]
    unused: list[str]


class Duplicates(TypedDict):
    """Images of the same bytes: copies beyond the first in a split; evaluation images that also train."""

    train: int
    evaluation: int
    across: int


class Sizes(TypedDict):
    """The longer sides of the smallest and of the largest image, pixels."""

    least: int
    most: int


class Named(TypedDict):
    """Things that were left out: how many, and what the first of them are."""

    count: int
    first: list[str]


class DatasetReport(TypedDict):
    """What a stored dataset is: the content of its `dataset.json`.

    `images_per_class` has a number for each class name under `train` and `evaluation`; `image_size` is the
    median of the longer sides in pixels; `columns` names the image and the label column; `broken` images could not be
    decoded and are left out, `ignored` files of a ZIP are no images.
    """

    format: int
    digest: str
    class_names: list[str]
    train_size: int
    evaluation_size: int
    image_size: int
    image_sizes: Sizes
    images_per_class: dict[str, list[int]]
    splits: Splits
    duplicates: Duplicates
    columns: dict[str, str]
    broken: Named
    ignored: Named


def facts_of(report: DatasetReport) -> DatasetFacts:
    """What a spec must know of a stored dataset."""
    return DatasetFacts(
        digest=report["digest"],
        class_names=tuple(report["class_names"]),
        train_size=report["train_size"],
        evaluation_size=report["evaluation_size"],
    )


def partial(destination: Path) -> Path:
    """Where the dataset is written before it is renamed to `destination`."""
    return destination.with_name(f".{destination.name}.partial")
