"""Uploaded files to a stored dataset, in a process of its own: only that can a hostile file exhaust or crash.

This module is both ends of the pipe and imports nothing heavy; what the child does is in `core.data.ingest.inspect`.

    python -m core.data.intake SOURCE DESTINATION

prints `{"ok": report}` or `{"error": {type, title, detail}}`. DESTINATION is there, complete, or not at all.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from core.data.limits import MAX_ENTRIES, MAX_PIXELS, MEMORY_BYTES
from core.domain.spec import DatasetFacts
from core.errors import (
    EmbedreelError,
    InsufficientStorageError,
    InvalidDatasetError,
    StorageUnavailableError,
    storage_error,
)

REPORT_FILE = "dataset.json"
NAMES_FILE = "names.json"
SHEET_FILE = "contact_sheet.png"

_KNOWN_ERRORS = {
    error.type: error for error in (InvalidDatasetError, StorageUnavailableError, InsufficientStorageError)
}


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


def inspect_in_subprocess(
    source: Path,
    destination: Path,
    *,
    names: Mapping[str, str] | None = None,
    timeout_seconds: float = 300.0,
    max_pixels: int = MAX_PIXELS,
    max_entries: int = MAX_ENTRIES,
    memory_bytes: int = MEMORY_BYTES,
    allow_broken: bool = False,
) -> DatasetReport:
    """Check uploaded files and store the dataset, in a child process that is bounded in time and memory.

    Args:
        source: folder with the uploaded files and nothing else; it is only read, but for `names.json`.
        destination: folder to make. It does not exist yet; its parent does.
        names: what the user called each file, by its name in `source`; None: the names there are the user's.
        timeout_seconds: the child is killed after this long.
        max_pixels: most pixels of an image.
        max_entries: most entries of a ZIP.
        memory_bytes: address space of the child.
        allow_broken: images that cannot be used are left out and named in the report, instead of refused.

    Returns:
        The report, which is also stored.

    Raises:
        InvalidDatasetError: the files cannot be used, or take too long or too much memory.
        StorageUnavailableError: the dataset cannot be written; InsufficientStorageError where the disk is full.
        RuntimeError: the child failed for a reason of its own; the message holds the end of its stderr.
    """
    if names is not None:
        (source / NAMES_FILE).write_text(json.dumps(dict(names)))
    command = [
        sys.executable,
        "-P",
        "-m",
        "core.data.intake",
        str(source.resolve()),
        str(destination.resolve()),
    ]
    command += [f"--max-pixels={max_pixels}", f"--max-entries={max_entries}", f"--memory-bytes={memory_bytes}"]
    command += ["--allow-broken"] if allow_broken else []
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module, paths of our own making
            command, capture_output=True, check=False, timeout=timeout_seconds, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidDatasetError(
            f"Checking the files took over {timeout_seconds:g} seconds: upload fewer or smaller images."
        ) from error
    finally:
        shutil.rmtree(partial(destination), ignore_errors=True)
    return _answer(child, memory_bytes)


def partial(destination: Path) -> Path:
    """Where the dataset is written before it is renamed to `destination`."""
    return destination.with_name(f".{destination.name}.partial")


def main(arguments: Sequence[str] | None = None) -> int:
    """The child: convert, print one JSON object, exit 0 if the dataset is stored and 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m core.data.intake", description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS)
    parser.add_argument("--max-entries", type=int, default=MAX_ENTRIES)
    parser.add_argument("--memory-bytes", type=int, default=MEMORY_BYTES)
    parser.add_argument("--allow-broken", action="store_true")
    options = parser.parse_args(arguments)
    try:
        _limit_memory(options.memory_bytes)
        answer: dict[str, Any] = {"ok": _convert(options)}
    except EmbedreelError as error:
        answer = {"error": error.describe()}
    except MemoryError:
        answer = {"error": _too_much_memory(options.memory_bytes).describe()}
    except OSError as error:
        answer = {"error": storage_error(error, "The dataset cannot be stored").describe()}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0 if "ok" in answer else 1


def _convert(options: argparse.Namespace) -> DatasetReport:
    from core.data.ingest.assignment import uploaded_files  # noqa: PLC0415 - only the child may load pyarrow
    from core.data.ingest.inspect import convert  # noqa: PLC0415

    return convert(
        uploaded_files(options.source),
        options.destination,
        max_pixels=options.max_pixels,
        max_entries=options.max_entries,
        allow_broken=options.allow_broken,
    )


def _limit_memory(memory_bytes: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system can
        import resource  # noqa: PLC0415 - there is none on Windows

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _environment() -> dict[str, str]:
    """No secrets for a process that reads hostile files, and no pools that reserve memory ahead."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "TMPDIR", "SYSTEMROOT"}}
    return kept | {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _answer(child: subprocess.CompletedProcess[bytes], memory_bytes: int) -> DatasetReport:
    try:
        answer = json.loads(child.stdout)
    except ValueError as error:
        if child.returncode < 0:
            raise _too_much_memory(memory_bytes) from error
        tail = child.stderr.decode(errors="replace")[-2000:]
        raise RuntimeError(f"Checking the files failed with status {child.returncode}:\n{tail}") from error
    if "ok" in answer:
        report: DatasetReport = answer["ok"]
        return report
    described = answer["error"]
    raise _KNOWN_ERRORS[described["type"]](described["detail"], field=described.get("field"))


def _too_much_memory(memory_bytes: int) -> InvalidDatasetError:
    return InvalidDatasetError(
        f"Reading the files crashed or needed more than {memory_bytes / (1 << 30):.3g} GiB of memory: save "
        "the dataset anew with to_parquet() of the `datasets` library, in smaller row groups."
    )


if __name__ == "__main__":
    sys.exit(main())
