"""Check uploaded files and store the dataset, in a process of its own: a hostile file can exhaust or crash that only.

This module is the parent's end and imports nothing heavy: neither pyarrow nor PIL. The child is `core.data.ingest`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from core.data.limits import MAX_ENTRIES, MAX_PIXELS, MEMORY_BYTES
from core.data.stored import NAMES_FILE, DatasetReport, partial
from core.errors import InsufficientStorageError, InvalidDatasetError, StorageUnavailableError

_KNOWN_ERRORS = {
    error.type: error for error in (InvalidDatasetError, StorageUnavailableError, InsufficientStorageError)
}


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
        "core.data.ingest",
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
            raise too_much_memory(memory_bytes) from error
        tail = child.stderr.decode(errors="replace")[-2000:]
        raise RuntimeError(f"Checking the files failed with status {child.returncode}:\n{tail}") from error
    if "ok" in answer:
        report: DatasetReport = answer["ok"]
        return report
    described = answer["error"]
    raise _KNOWN_ERRORS[described["type"]](described["detail"], field=described.get("field"))


def too_much_memory(memory_bytes: int) -> InvalidDatasetError:
    """The error of a child that needed more memory than it may have.

    Args:
        memory_bytes: address space of the child.
    """
    return InvalidDatasetError(
        f"Reading the files crashed or needed more than {memory_bytes / (1 << 30):.3g} GiB of memory: save "
        "the dataset anew with to_parquet() of the `datasets` library, in smaller row groups."
    )
