"""The child process: it runs one task, sends reports, and ends.

The fork server starts the child. The child leads its own process group and dies with its supervisor.
"""

import errno
import importlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core import logs
from core.errors import EmbedreelError, StageCrashedError, StorageUnavailableError
from core.store.objects.artifacts import open_store
from worker.context import StageContext, StoppedError
from worker.job import Job

_FULL = "is full. Free some space, for example by deleting runs"
_BROKEN = "cannot be read or written. Repair the disk"
DISK_TROUBLE = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EIO: _BROKEN, errno.EROFS: _BROKEN}
"""Errors of the disk that an operator can repair. They are not defects of the task."""


def main(job: Job, connection: Connection) -> None:
    """Run the job. The last message is `done`, `failed` or `stopped`."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the fork server ignores it
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    logs.configure(job.settings.log_level, job.settings.log_format, **job.log_fields)
    lock = threading.Lock()

    def report(kind: str, **message: Any) -> None:  # noqa: ANN401 - plain data
        with lock:
            connection.send((kind, message))

    try:
        report("done", facts=_run(job, report))
    except StoppedError:
        report("stopped")
    except Exception as error:
        logging.getLogger(__name__).exception("the task failed")
        report("failed", error=_explained(error, job))


def _explained(error: Exception, job: Job) -> EmbedreelError:
    """Return the error of the run for the exception that ended its task."""
    if isinstance(error, EmbedreelError):
        return error
    if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
        return StorageUnavailableError(f"The disk of {job.output} {DISK_TROUBLE[error.errno]}, then retry.")
    last = traceback.extract_tb(error.__traceback__)[-1]
    detail = (
        f"{type(error).__name__}: {error} (at {Path(last.filename).name}:{last.lineno}). "
        "This is a defect. The worker's log has the details."
    )
    return StageCrashedError(detail)


def _run(job: Job, report: Any) -> dict[str, Any]:  # noqa: ANN401
    stages = importlib.import_module(job.stages).STAGES  # imports torch, which only the child does
    store = open_store(job.settings.artifacts, home=job.settings.root)
    with store.reading():
        facts: dict[str, Any] = stages[job.task.name](StageContext(job, store, report))
    return facts


def _die_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.killpg(os.getpgrp(), signal.SIGKILL)
