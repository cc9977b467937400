"""One training on several processes, one for each GPU. The child process is rank 0 and starts the other ranks.

Accelerate reads the environment variables that torch's launcher sets. The ranks connect to a TCP store in the child, as
they would to the launcher's agent. The store chooses a free port before the other ranks start. The other ranks are in
the child's process group, so they end with the child. If another rank fails, the child ends at once, because a
collective operation would wait for the failed rank forever.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from core import logs
from core.errors import EmbedreelError
from core.settings import Settings
from worker.context import StageContext

EXIT_STATUS = 70
"""Exit status of the child if another rank fails: EX_SOFTWARE of sysexits.h."""

LOOPBACK = "127.0.0.1"


def wanted(settings: Settings) -> int:
    """Return the number of training processes: the operator's setting, or the number of GPUs, at least 1."""
    return settings.training_processes or max(1, torch.cuda.device_count())


@contextmanager
def together(ctx: StageContext, join: Callable[[StageContext], None]) -> Iterator[None]:
    """Run the block while the other processes run `join(ctx)`.

    Args:
        ctx: context of the task. The other processes get a copy that drops all reports.
        join: runs the training in another process. The function must be picklable.

    Yields:
        None. With one training process, the block runs alone.
    """
    count = wanted(ctx.settings)
    if count == 1:
        yield
        return
    store = TCPStore(LOOPBACK, 0, is_master=True, wait_for_workers=False)  # the store serves until the end of the block
    shared = {
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(count),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    if not torch.cuda.is_available():
        shared["ACCELERATE_USE_CPU"] = "true"
    unreported = ctx.without_report()
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_run_rank, args=(join, unreported, shared | _rank_variables(rank)), name=f"rank {rank}")
        for rank in range(1, count)
    ]
    for other in others:
        other.start()
    failed = threading.Event()
    threading.Thread(target=_exit_if_one_fails, args=(others, failed), daemon=True).start()
    os.environ.update(shared | _rank_variables(0))
    try:
        yield
    except BaseException:
        failed.set()
        for other in others:
            other.kill()
        raise
    finally:
        for other in others:
            other.join()


def _run_rank(join: Callable[[StageContext], None], ctx: StageContext, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    logs.configure(ctx.settings.log_level, ctx.settings.log_format)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # rank 0 stops the training in all ranks
    with suppress(EmbedreelError):  # rank 0 gets the same error and reports it
        join(ctx)


def _rank_variables(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _exit_if_one_fails(others: list[BaseProcess], failed: threading.Event) -> None:
    pending = {other.sentinel: other for other in others}
    while pending:
        for sentinel in wait(list(pending)):
            other = pending.pop(sentinel)  # type: ignore[arg-type]
            other.join()
            if other.exitcode and not failed.is_set():
                os._exit(EXIT_STATUS)
