"""The format of a stored dataset: the names of its files, and the fields of its report.

This module imports neither pyarrow nor PIL.
"""

from pathlib import Path
from typing import TypedDict

from core.domain.spec import DatasetFacts

REPORT_FILE = "dataset.json"
NAMES_FILE = "names.json"
SHEET_FILE = "contact_sheet.png"


class FileRows(TypedDict):
    """The number of rows of a file that belong to a split."""

    file: str
    rows: int


class Splits(TypedDict):
    """The assignment of rows to splits.

    `rule` is `file names`, `folder names`, `manifest` or `a fifth of each class, seed 0`. `unused` contains the names
    of the files, or of the splits of a ZIP, that belong to neither split.
    """

    rule: str
    train: list[FileRows]
    evaluation: list[FileRows]
    unused: list[str]


class Duplicates(TypedDict):
    """Counts of images with identical bytes.

    `train` and `evaluation` count the copies beyond the first within the split. `across` counts the evaluation images
    that are also training images.
    """

    train: int
    evaluation: int
    across: int


class Sizes(TypedDict):
    """Minimum and maximum over all images of the longer side, in pixels."""

    least: int
    most: int


class Named(TypedDict):
    """Items that the dataset leaves out: their number, and the names of the first items."""

    count: int
    first: list[str]


class DatasetReport(TypedDict):
    """The report of a stored dataset: the content of its `dataset.json`.

    - `format`: version of the format.
    - `digest`: SHA-256 that identifies the dataset.
    - `train_size`, `evaluation_size`: number of images of each split.
    - `image_size`: median of the longer sides of all images, in pixels.
    - `images_per_class`: under `train` and `evaluation`, the number of images of each class, in the order of
      `class_names`.
    - `columns`: the image column under `image`, and the label column under `label`.
    - `broken`: images that could not be used and are left out.
    - `ignored`: files of a ZIP that are not images of the dataset.
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
    """Return the facts of a stored dataset that a run's spec contains.

    Args:
        report: report of the dataset.
    """
    return DatasetFacts(
        digest=report["digest"],
        class_names=tuple(report["class_names"]),
        train_size=report["train_size"],
        evaluation_size=report["evaluation_size"],
    )


def partial(destination: Path) -> Path:
    """Return the folder into which the dataset is written before the folder is renamed to `destination`.

    Args:
        destination: final folder of the dataset.
    """
    return destination.with_name(f".{destination.name}.partial")
