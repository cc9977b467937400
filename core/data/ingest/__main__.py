"""Check uploaded files and store the dataset, as the child process of core.data.intake.

    python -m core.data.ingest SOURCE DESTINATION

The command prints `{"ok": report}` or `{"error": {type, title, detail}}`. It creates DESTINATION completely or not at
all.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.data.ingest.assignment import uploaded_files
from core.data.ingest.inspect import convert
from core.data.intake import too_much_memory
from core.data.limits import MAX_ENTRIES, MAX_PIXELS, MEMORY_BYTES
from core.data.stored import DatasetReport
from core.errors import EmbedreelError, storage_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Store the dataset and print one JSON object.

    Args:
        arguments: command line without the program name. None: `sys.argv`.

    Returns:
        Exit status: 0 if the dataset is stored, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m core.data.ingest", description=__doc__.partition("\n")[0])
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
        answer = {"error": too_much_memory(options.memory_bytes).describe()}
    except OSError as error:
        answer = {"error": storage_error(error, "The dataset cannot be stored").describe()}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0 if "ok" in answer else 1


def _convert(options: argparse.Namespace) -> DatasetReport:
    return convert(
        uploaded_files(options.source),
        options.destination,
        max_pixels=options.max_pixels,
        max_entries=options.max_entries,
        allow_broken=options.allow_broken,
    )


def _limit_memory(memory_bytes: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # some systems do not support this limit
        import resource  # noqa: PLC0415 - Windows does not have this module

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


if __name__ == "__main__":
    sys.exit(main())
