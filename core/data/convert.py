"""What intake's child does: check every label and image of the uploaded files and write the stored dataset.

A stored dataset is `train.arrow` and `evaluation.arrow` (image: encoded bytes, label: index into the class
names, file and row: where the user had it) and `dataset.json`. It appears whole, by a rename, or not at all.
"""

import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.data.assignment import Assignment, BoolArray, UploadedFile, assign
from core.data.images import measure
from core.data.intake import REPORT_FILE, Report, partial
from core.data.parquet import ParquetImages
from core.domain.arrays import IntArray
from core.errors import InvalidDatasetError

FORMAT = 1
SHOWN_FAILURES = 3
COUNTED_FAILURES = 10_000
MAX_EXPANSION = 10
"""Images are compressed already: a file whose images are so many times its size repeats or pads them to fill a disk."""
ALWAYS_BYTES = 64 << 20
"""So much is stored of any upload."""
STORED = pa.schema([("image", pa.binary()), ("label", pa.int64()), ("file", pa.int32()), ("row", pa.int64())])


@dataclass(slots=True)
class ImageFindings:
    """What was seen of the images of both splits: longer sides in pixels, 64-bit hashes of their bytes."""

    sides: "array[int]" = field(default_factory=lambda: array("L"))
    hashes: dict[bool, "array[int]"] = field(default_factory=lambda: {False: array("Q"), True: array("Q")})


def convert(files: Sequence[UploadedFile], destination: Path, *, max_pixels: int) -> Report:
    """Check the files and store them as a dataset.

    Args:
        files: the uploaded Parquet files.
        destination: folder to make; its parent exists.
        max_pixels: most pixels of an image.

    Returns:
        The report that is stored with the dataset.

    Raises:
        InvalidDatasetError: the files cannot be used; the message names file, column or row and what to do.
        OSError: the dataset cannot be written, or `destination` exists.
    """
    assignment = assign(files)
    folder = partial(destination)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        findings = _write_images(assignment, folder, max_pixels)
        report = _report(assignment, findings, _digest(assignment))
        (folder / REPORT_FILE).write_text(json.dumps(report))
        for path in (*folder.iterdir(), folder):
            _sync(path)
        folder.rename(destination)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _sync(destination.parent)
    return report


def _write_images(assignment: Assignment, folder: Path, max_pixels: int) -> ImageFindings:
    findings = ImageFindings()
    left = max(ALWAYS_BYTES, MAX_EXPANSION * sum(file.path.stat().st_size for file in assignment.files))
    with (
        pa.OSFile(str(folder / "train.arrow"), "wb") as train_file,
        pa.OSFile(str(folder / "evaluation.arrow"), "wb") as evaluation_file,
        pa.ipc.new_file(train_file, STORED) as train,
        pa.ipc.new_file(evaluation_file, STORED) as evaluation,
    ):
        for index, file in enumerate(assignment.files):
            failures: list[str] = []
            first = 0
            for images in file.images():
                left -= images.nbytes
                _refuse_expansion(left, file)
                rows = np.arange(first, first + len(images))
                evaluates = assignment.evaluates[index][rows]
                failures += _check(images, rows, evaluates, findings, max_pixels)
                for writer, mask in ((train, ~evaluates), (evaluation, evaluates)):
                    if mask.any() and not failures:
                        writer.write_batch(_batch(images, assignment.labels[index], rows, mask, index))
                first += len(images)
                if len(failures) > COUNTED_FAILURES:
                    break
            _refuse_failures(failures, file)
    return findings


def _check(
    images: pa.Array,
    rows: IntArray,
    evaluates: BoolArray,
    findings: ImageFindings,
    max_pixels: int,
) -> list[str]:
    failures = []
    for encoded, row, in_evaluation in zip(images.to_pylist(), rows.tolist(), evaluates.tolist(), strict=True):
        try:
            size = measure(encoded or b"", max_pixels=max_pixels)
        except InvalidDatasetError as error:
            failures.append(f"row {row}: {'no image' if encoded is None else error.detail}")
        else:
            findings.sides.append(max(size))
            findings.hashes[in_evaluation].append(hash_image(encoded))
    return failures


def hash_image(encoded: bytes) -> int:
    """64 bits of an image file's bytes."""
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest())


def _batch(images: pa.Array, labels: IntArray, rows: IntArray, mask: BoolArray, file: int) -> pa.RecordBatch:
    kept = rows[mask]
    columns = [images.filter(pa.array(mask)), labels[kept], np.full(len(kept), file, np.int32), kept]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=STORED)


def _refuse_expansion(left: int, file: ParquetImages) -> None:
    if left < 0:
        raise InvalidDatasetError(
            f"{file.name} holds little that becomes much: its images are more than {MAX_EXPANSION} times as large as "
            "all files together. Store each image once, as JPEG, PNG or WebP."
        )


def _refuse_failures(failures: list[str], file: ParquetImages) -> None:
    if failures:
        shown = "; ".join(failures[:SHOWN_FAILURES]) + ("; …" if len(failures) > SHOWN_FAILURES else "")
        counted = f"{len(failures):,}" if len(failures) <= COUNTED_FAILURES else f"over {COUNTED_FAILURES:,}"
        raise InvalidDatasetError(
            f"{file.name}: {counted} of {file.rows:,} images in column {file.columns.image!r} cannot "
            f"be used ({shown}; rows count from 0): repair or remove them."
        )


def _digest(assignment: Assignment) -> str:
    """SHA-256 over the format, the split rule, and the content and place of each used file, in order."""
    parts = []
    for file, evaluates in zip(assignment.files, assignment.evaluates, strict=True):
        with file.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        parts.append([content, bool(evaluates.all())])
    identity = json.dumps([FORMAT, assignment.rule, parts], separators=(",", ":"))
    return hashlib.sha256(identity.encode()).hexdigest()


def _report(assignment: Assignment, findings: ImageFindings, digest: str) -> Report:
    train, evaluation = (assignment.of(evaluation=side) for side in (False, True))
    n_classes = len(assignment.class_names)
    train_hashes, evaluation_hashes = (np.array(findings.hashes[side], np.uint64) for side in (False, True))
    columns = assignment.files[0].columns
    return {
        "format": FORMAT,
        "digest": digest,
        "class_names": list(assignment.class_names),
        "train_size": len(train),
        "evaluation_size": len(evaluation),
        "image_size": int(np.median(findings.sides)),
        "images_per_class": {
            "train": np.bincount(train, minlength=n_classes).tolist(),
            "evaluation": np.bincount(evaluation, minlength=n_classes).tolist(),
        },
        "splits": {
            "rule": assignment.rule,
            "train": assignment.rows(evaluation=False),
            "evaluation": assignment.rows(evaluation=True),
            "unused": assignment.unused,
        },
        "duplicates": {
            "train": len(train) - len(np.unique(train_hashes)),
            "evaluation": len(evaluation) - len(np.unique(evaluation_hashes)),
            "across": int(np.isin(evaluation_hashes, train_hashes).sum()),
        },
        "columns": {"image": columns.image, "label": columns.label},
    }


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
