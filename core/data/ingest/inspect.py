"""What intake's child does: check every label and image of the uploaded files and write the stored dataset.

A stored dataset is `train.arrow` and `evaluation.arrow` (image: encoded bytes, label: index into the class
names, file and row: where the user had it), `dataset.json` and `contact_sheet.png`. It appears
whole, by a rename, or not at all.
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
COUNTED_FAILURES = 10_000
ALWAYS_BYTES = 64 << 20
"""So much is stored of any upload."""
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
        destination: folder to make; its parent exists.
        max_pixels: most pixels of an image.
        max_entries: most entries of a ZIP.
        allow_broken: images that cannot be used are left out and named in the report, instead of refused.

    Returns:
        The report that is stored with the dataset.

    Raises:
        InvalidDatasetError: the files cannot be used; the message names file, column or row and what to do.
        OSError: the dataset cannot be written, or `destination` exists.
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
    """Images on their way from files to splits.

    Attributes:
        writers: by whether it is the evaluation split.
        left_bytes: what may still be written.
    """

    assignment: Assignment
    writers: dict[bool, pa.ipc.RecordBatchFileWriter]
    sheet: ContactSheet
    max_pixels: int
    allow_broken: bool
    left_bytes: int
    findings: ImageFindings = field(default_factory=ImageFindings)

    def write(self, index: int, file: ImageFile) -> None:
        """All images of one file."""
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
        """(rows,) whether each image can be decoded; `broken` is told what is wrong with those that cannot."""
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
    """64 bits of an image file's bytes."""
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())


def _batch(images: pa.Array, labels: IntArray, rows: IntArray, mask: BoolArray, file: int) -> pa.RecordBatch:
    kept = rows[mask]
    columns = [images.filter(pa.array(mask)), labels[kept], np.full(len(kept), file, np.int32), kept]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=STORED)


def _refuse_expansion(left: int, file: ImageFile) -> None:
    if left < 0:
        raise InvalidDatasetError(
            f"{file.name} holds little that becomes much: its images are more than {MAX_EXPANSION} times as large as "
            "all files together. Store each image once, as JPEG, PNG or WebP."
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
