"""The digest and the report of a dataset that the intake stores."""

import hashlib
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from core.data.ingest.assignment import Assignment
from core.data.stored import DatasetReport, Duplicates, Named
from core.domain.arrays import IntArray

FORMAT = 1
NAMED = 20
"""Maximum number of broken images, and of ignored files, that the report names."""


@dataclass(slots=True)
class ImageFindings:
    """Findings about the images of both splits.

    Attributes:
        sides: longer side of each usable image in pixels.
        hashes: 64-bit hash of each usable image file; True: evaluation split, False: training split.
        broken: for each file, the cause of each row whose image cannot be used.
    """

    sides: "array[int]" = field(default_factory=lambda: array("L"))
    hashes: dict[bool, "array[int]"] = field(default_factory=lambda: {False: array("Q"), True: array("Q")})
    broken: list[dict[int, str]] = field(default_factory=list)


def digest(assignment: Assignment, broken: Sequence[dict[int, str]]) -> str:
    """Return the digest of a dataset. Equal uploads have equal digests.

    Args:
        assignment: the assignment of all rows, including the broken rows.
        broken: for each file, the broken rows that are left out.

    Returns:
        SHA-256, hexadecimal, of the format, the split rule, the content and the split of each used file, and the
        broken rows.
    """
    contents = {file.path: "" for file in assignment.files}
    for path in contents:
        with path.open("rb") as stream:
            contents[path] = hashlib.file_digest(stream, "sha256").hexdigest()
    parts = [
        [contents[file.path], bool(evaluates.all())]
        for file, evaluates in zip(assignment.files, assignment.evaluates, strict=True)
    ]
    left_out = [[sorted(rows) for rows in broken]] if any(broken) else []
    identity = json.dumps([FORMAT, assignment.rule, parts, *left_out], separators=(",", ":"))
    return hashlib.sha256(identity.encode()).hexdigest()


def describe(assignment: Assignment, findings: ImageFindings, *, digest: str) -> DatasetReport:
    """Return the report of a dataset.

    Args:
        assignment: the assignment of the stored images, without the broken rows.
        findings: findings about all images.
        digest: digest of the dataset.
    """
    train, evaluation = (assignment.of(evaluation=side) for side in (False, True))
    columns = assignment.files[0].columns
    return {
        "format": FORMAT,
        "digest": digest,
        "class_names": list(assignment.class_names),
        "train_size": len(train),
        "evaluation_size": len(evaluation),
        "image_size": int(np.median(findings.sides)),
        "image_sizes": {"least": min(findings.sides), "most": max(findings.sides)},
        "images_per_class": {
            "train": _per_class(train, assignment),
            "evaluation": _per_class(evaluation, assignment),
        },
        "splits": {
            "rule": assignment.rule,
            "train": assignment.rows(evaluation=False),
            "evaluation": assignment.rows(evaluation=True),
            "unused": assignment.unused,
        },
        "duplicates": _duplicates(findings),
        "columns": {"image": columns.image, "label": columns.label},
        "broken": _broken(assignment, findings),
        "ignored": {"count": len(assignment.ignored), "first": assignment.ignored[:NAMED]},
    }


def _per_class(labels: IntArray, assignment: Assignment) -> list[int]:
    counts: list[int] = np.bincount(labels, minlength=len(assignment.class_names)).tolist()
    return counts


def _duplicates(findings: ImageFindings) -> Duplicates:
    train, evaluation = (np.array(findings.hashes[side], np.uint64) for side in (False, True))
    return {
        "train": len(train) - len(np.unique(train)),
        "evaluation": len(evaluation) - len(np.unique(evaluation)),
        "across": int(np.isin(evaluation, train).sum()),
    }


def _broken(assignment: Assignment, findings: ImageFindings) -> Named:
    several = len(assignment.files) > 1
    named = (
        f"{file.name + ': ' if several else ''}{file.where(row)}: {cause}"
        for file, rows in zip(assignment.files, findings.broken, strict=True)
        for row, cause in rows.items()
    )
    return {"count": sum(map(len, findings.broken)), "first": list(islice(named, NAMED))}
