"""Check uploaded files and store the dataset in a child process. A hostile file can exhaust or crash only that process.

This module runs in the parent and imports neither pyarrow nor PIL. The child process runs `core.data.ingest`.
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
    """Check uploaded files and store the dataset, in a child process with limited time and memory.

    Args:
        source: folder that contains only the uploaded files. If `names` is given, the function writes `names.json`
            into this folder. No uploaded file is changed.
        destination: folder to create. The folder must not exist; its parent must exist.
        names: the user's name of each file, by the file's name in `source`. None: both names are the same.
        timeout_seconds: time limit of the child in seconds. The child is then killed. The default is chosen by hand.
        max_pixels: maximum number of pixels of an image.
        max_entries: maximum number of entries of a ZIP.
        memory_bytes: maximum address space of the child.
        allow_broken: True: leave out images that cannot be used, and list them in the report. False: one such image
            is an error.

    Returns:
        The report, as stored in the dataset.

    Raises:
        InvalidDatasetError: the files cannot be used, or the check exceeds its time or memory.
        StorageUnavailableError: the dataset cannot be written.
        InsufficientStorageError: the disk is full.
        RuntimeError: the child failed unexpectedly. The message contains the end of its stderr.
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
    """Return the variables of the child: no secrets, and no thread or memory pools that reserve address space."""
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
    """Return the error of a child that exceeded its memory.

    Args:
        memory_bytes: maximum address space of the child.
    """
    return InvalidDatasetError(
        f"Reading the files crashed or needed more than {memory_bytes / (1 << 30):.3g} GiB of memory: upload "
        "smaller images, or save Parquet files with smaller row groups (to_parquet() of the `datasets` library)."
    )
