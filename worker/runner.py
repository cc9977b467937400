"""The child process: run one stage, report, end.

It is started from a warm fork server, leads a process group of its own, and dies with its supervisor.
"""

import errno
import importlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core import logs
from core.domain.plan import Plan
from core.domain.spec import RunSpec
from core.errors import EmbedreelError, StageCrashedError, StorageUnavailableError
from core.settings import Settings
from core.store.objects.artifacts import open_store
from core.store.objects.stored import Stored
from worker.context import StageContext, StoppedError

_FULL = "is full. Make room, for example by deleting runs"
_BROKEN = "cannot be read or written. Bring it in order"
DISK_TROUBLE = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EIO: _BROKEN, errno.EROFS: _BROKEN}
"""What an operator can mend: no defect of the stage that met it."""


@dataclass(frozen=True)
class Job:
    """One attempt at one stage, as plain data."""

    spec: RunSpec
    plan: Plan
    stage_id: str
    output: Path
    settings: Settings
    pins: dict[str, str]
    inputs: dict[str, Stored]
    dataset: Stored | None
    weights: Stored | None
    state: Stored | None
    log_fields: dict[str, logs.Field] = field(default_factory=dict)


def main(job: Job, connection: Connection) -> None:
    """Run the job; its last message is `done` or `failed`."""
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
        logging.getLogger(__name__).exception("the stage failed")
        report("failed", error=_explained(error, job))


def _explained(error: Exception, job: Job) -> EmbedreelError:
    """What the run says of whatever ended its stage."""
    if isinstance(error, EmbedreelError):
        return error
    if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
        return StorageUnavailableError(f"The disk of {job.output} {DISK_TROUBLE[error.errno]}, then retry.")
    last = traceback.extract_tb(error.__traceback__)[-1]
    detail = (
        f"{type(error).__name__}: {error} (at {Path(last.filename).name}:{last.lineno}). "
        "This is a defect; the worker's log has the details."
    )
    return StageCrashedError(detail)


def _run(job: Job, report: Any) -> dict[str, Any]:  # noqa: ANN401
    stages = importlib.import_module(job.settings.stages_module).STAGES  # torch: only in the child
    stage = job.plan.stage(job.stage_id)
    context = StageContext(
        spec=job.spec,
        plan=job.plan,
        stage=stage,
        settings=job.settings,
        store=open_store(job.settings.artifacts, home=job.settings.root),
        inputs=job.inputs,
        dataset=job.dataset,
        weights=job.weights,
        state=job.state,
        output=job.output,
        pins=job.pins,
        report=report,
    )
    with context.store.reading():
        facts: dict[str, Any] = stages[stage.name](context)
    return facts


def _die_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.killpg(os.getpgrp(), signal.SIGKILL)
