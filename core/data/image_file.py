"""What the intake asks of a file, or of one split of a ZIP, whatever it is packed in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from core.data.columns import Columns


class ImageFile(Protocol):
    """Images and labels by row."""

    @property
    def path(self) -> Path:
        """The uploaded file; several may be parts of one."""

    @property
    def name(self) -> str:
        """What the user called it."""

    @property
    def rows(self) -> int:
        """How many images it has."""

    @property
    def columns(self) -> Columns:
        """Where images and labels are."""

    @property
    def most_bytes(self) -> int:
        """What its images may come to."""

    @property
    def every_class_trains(self) -> bool:
        """Whether a class that is evaluated and not trained is a mistake, as in folders that are named otherwise."""

    @property
    def splits_by(self) -> str:
        """What says to which split it belongs."""

    def labels(self) -> pa.ChunkedArray:
        """The labels, (rows,)."""

    def images(self) -> Iterator[pa.Array]:
        """Binary arrays of encoded images, together (rows,), null where there is none."""

    @property
    def images_place(self) -> str:
        """Where its images are, as the rest of a sentence."""

    def where(self, row: int) -> str:
        """What to call a row in an error."""

    def why_missing(self, row: int) -> str:
        """Why there is no image in a row that has been read."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What has been uploaded.

    Attributes:
        files: those that are used, the training files first.
        evaluates: for each, whether it is evaluated; None: all files together are to be split by row.
        unused: names of the files, or of the splits of a ZIP, that are not used.
        ignored: names of the files in a ZIP that are no images.
    """

    files: list[ImageFile]
    evaluates: list[bool] | None
    unused: list[str]
    ignored: list[str]
