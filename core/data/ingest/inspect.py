"""Check every label and image of the uploaded files, and write the stored dataset. This module runs in the child.

A stored dataset is a folder with these files:

- `train.arrow` and `evaluation.arrow`. Their columns are `image` (encoded bytes), `label` (index into the class names),
  `file` (index of the file in the upload) and `row` (row in that file).
- `dataset.json`, the report.
- `contact_sheet.png`.

The files are written to another folder, which is then renamed, so the dataset appears completely or not at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.data.image_file import ImageFile
from core.data.images import measure
from core.data.ingest.assignment import Assignment, BoolArray, assign, refuse_unusable
from core.data.ingest.contact_sheet import ContactSheet
from core.data.ingest.opening import UploadedFile
from core.data.ingest.report import ImageFindings, describe, digest
from core.data.limits import MAX_ENTRIES
from core.data.parquet import MAX_EXPANSION
from core.data.stored import REPORT_FILE, SHEET_FILE, DatasetReport, partial
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

SHOWN_FAILURES = 20
"""Number of broken images that an error message names."""
COUNTED_FAILURES = 10_000
"""With more broken images in one file, the upload is refused at once, even with `allow_broken`.

The limit bounds the memory for the causes. Chosen by hand; not measured.
"""
ALWAYS_BYTES = 64 << 20
"""Minimum limit on the size of all encoded images. Small files may exceed MAX_EXPANSION up to this size.

Chosen by hand; not measured.
"""
STORED = pa.schema([("image", pa.binary()), ("label", pa.int64()), ("file", pa.int32()), ("row", pa.int64())])


def convert(
    files: Sequence[UploadedFile],
    destination: Path,
    *,
    max_pixels: int,
    max_entries: int = MAX_ENTRIES,
    allow_broken: bool = False,
) -> DatasetReport:
    """Check the files and store them as a dataset.

    Args:
        files: one ZIP, or Parquet files.
        destination: folder to create. Its parent must exist.
        max_pixels: maximum number of pixels of an image.
        max_entries: maximum number of entries of a ZIP.
        allow_broken: True: leave out images that cannot be used, and list them in the report. False: one such image
            is an error.

    Returns:
        The report, as stored in the dataset.

    Raises:
        InvalidDatasetError: the files cannot be used. The message names the file, column or row, and what to do.
        OSError: the dataset cannot be written, or `destination` exists and is not empty.
    """
    assignment = assign(files, max_entries=max_entries, max_pixels=max_pixels)
    folder = partial(destination)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        findings, sheet = _write_images(assignment, folder, max_pixels=max_pixels, allow_broken=allow_broken)
        kept = assignment.without(findings.broken)
        refuse_unusable(kept)
        report = describe(kept, findings, digest=digest(assignment, findings.broken))
        (folder / REPORT_FILE).write_text(json.dumps(report))
        per_class = report["images_per_class"]
        sheet.draw([*zip(per_class["train"], per_class["evaluation"], strict=True)]).save(folder / SHEET_FILE)
        for path in (*folder.iterdir(), folder):
            _sync(path)
        folder.rename(destination)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _sync(destination.parent)
    return report


def _write_images(
    assignment: Assignment, folder: Path, *, max_pixels: int, allow_broken: bool
) -> tuple[ImageFindings, ContactSheet]:
    with (
        pa.OSFile(str(folder / "train.arrow"), "wb") as train_file,
        pa.OSFile(str(folder / "evaluation.arrow"), "wb") as evaluation_file,
        pa.ipc.new_file(train_file, STORED) as train,
        pa.ipc.new_file(evaluation_file, STORED) as evaluation,
    ):
        left = max(ALWAYS_BYTES, sum(file.most_bytes for file in assignment.files))
        sheet = ContactSheet(assignment.class_names)
        writing = _Writing(assignment, {False: train, True: evaluation}, sheet, max_pixels, allow_broken, left)
        for index, file in enumerate(assignment.files):
            writing.write(index, file)
    return writing.findings, sheet


@dataclass(slots=True)
class _Writing:
    """Checks the images of all files and writes them to the two splits.

    Attributes:
        assignment: the class and the split of each row.
        writers: True: the writer of the evaluation split, False: the writer of the training split.
        sheet: receives thumbnails.
        max_pixels: maximum number of pixels of an image.
        allow_broken: True: leave out broken images. False: refuse them.
        left_bytes: number of bytes of encoded images that may still be read.
        findings: findings about the images so far.
    """

    assignment: Assignment
    writers: dict[bool, pa.ipc.RecordBatchFileWriter]
    sheet: ContactSheet
    max_pixels: int
    allow_broken: bool
    left_bytes: int
    findings: ImageFindings = field(default_factory=ImageFindings)

    def write(self, index: int, file: ImageFile) -> None:
        """Check and write all images of one file.

        Args:
            index: index of the file in the assignment.
            file: the file.

        Raises:
            InvalidDatasetError: the file is damaged, has broken images that are not allowed, or has more than
                COUNTED_FAILURES broken images; or the images of all files exceed the size limit.
        """
        broken: dict[int, str] = {}
        first = 0
        for images in file.images():
            self.left_bytes -= images.nbytes
            _refuse_expansion(self.left_bytes, file)
            rows = np.arange(first, first + len(images))
            evaluates = self.assignment.evaluates[index][rows]
            usable = self._check(images, rows, evaluates, index, broken)
            for side, writer in self.writers.items():
                mask = usable & (evaluates == side)
                if mask.any() and (self.allow_broken or not broken):
                    writer.write_batch(_batch(images, self.assignment.labels[index], rows, mask, index))
            first += len(images)
            if len(broken) > COUNTED_FAILURES:
                break
        if not self.allow_broken or len(broken) > COUNTED_FAILURES:
            _refuse_broken(broken, file)
        self.findings.broken.append(broken)

    def _check(
        self, images: pa.Array, rows: IntArray, evaluates: BoolArray, index: int, broken: dict[int, str]
    ) -> BoolArray:
        """Decode a batch of images.

        Args:
            images: (n,) encoded images.
            rows: (n,) int64, row of each image in the file.
            evaluates: (n,) bool, True if the image belongs to the evaluation split.
            index: index of the file in the assignment.
            broken: receives the cause of each image that cannot be decoded, by row.

        Returns:
            (n,) bool, True if the image can be decoded.
        """
        file, labels = self.assignment.files[index], self.assignment.labels[index]
        for encoded, row, in_evaluation in zip(images.to_pylist(), rows.tolist(), evaluates.tolist(), strict=True):
            try:
                size = measure(encoded or b"", max_pixels=self.max_pixels)
                self.sheet.add(int(labels[row]), encoded, max_pixels=self.max_pixels)
            except InvalidDatasetError as error:
                broken[row] = file.why_missing(row) if encoded is None else error.detail
            else:
                self.findings.sides.append(max(size))
                self.findings.hashes[in_evaluation].append(hash_image(encoded))
        return np.array([row not in broken for row in rows.tolist()])


def hash_image(encoded: bytes) -> int:
    """Return a 64-bit BLAKE2b hash of the bytes of an image file.

    Args:
        encoded: bytes of the image file.
    """
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())


def _batch(images: pa.Array, labels: IntArray, rows: IntArray, mask: BoolArray, file: int) -> pa.RecordBatch:
    kept = rows[mask]
    columns = [images.filter(pa.array(mask)), labels[kept], np.full(len(kept), file, np.int32), kept]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=STORED)


def _refuse_expansion(left: int, file: ImageFile) -> None:
    if left < 0:
        raise InvalidDatasetError(
            f"{file.name} expands too much: the images of the upload are more than {MAX_EXPANSION} times as large as "
            "its files. Store each image once, as JPEG, PNG or WebP."
        )


def _refuse_broken(broken: Mapping[int, str], file: ImageFile) -> None:
    if broken:
        shown = "; ".join(f"{file.where(row)}: {cause}" for row, cause in islice(broken.items(), SHOWN_FAILURES))
        more = "; …" if len(broken) > SHOWN_FAILURES else ""
        counted = f"{len(broken):,}" if len(broken) <= COUNTED_FAILURES else f"over {COUNTED_FAILURES:,}"
        raise InvalidDatasetError(
            f"{file.name}: {counted} of {file.rows:,} images{file.images_place} cannot be used: {shown}{more}. "
            "Repair or remove them, or send allow_broken=true (--allow-broken) to leave them out."
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
