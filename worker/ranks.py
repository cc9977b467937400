"""One training on several processes, one for each GPU: the child is the first of them and starts the others.

Accelerate finds its peers by the variables that torch's own launcher sets. They meet in a store that the child serves,
as that launcher's agent does, so the port is taken from the start. The others are in the child's process group, so they
go with it; if one of them fails, the child ends at once instead of waiting for it in a collective operation.
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
LOOPBACK = "127.0.0.1"


def wanted(settings: Settings) -> int:
    """How many processes train together: as many as there are GPUs, unless the operator says otherwise."""
    return settings.training_processes or max(1, torch.cuda.device_count())


@contextmanager
def together(ctx: StageContext, join: Callable[[StageContext], None]) -> Iterator[None]:
    """Run the block with `join(ctx)` running in the other processes; they end when the training does."""
    count = wanted(ctx.settings)
    if count == 1:
        yield
        return
    store = TCPStore(LOOPBACK, 0, is_master=True, wait_for_workers=False)  # served until the block ends
    shared = {
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(count),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    if not torch.cuda.is_available():
        shared["ACCELERATE_USE_CPU"] = "true"
    silent = ctx.without_report()
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_take_part, args=(join, silent, shared | _place(rank)), name=f"rank {rank}")
        for rank in range(1, count)
    ]
    for other in others:
        other.start()
    failed = threading.Event()
    threading.Thread(target=_end_with, args=(others, failed), daemon=True).start()
    os.environ.update(shared | _place(0))
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


def _take_part(join: Callable[[StageContext], None], ctx: StageContext, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    logs.configure(ctx.settings.log_level, ctx.settings.log_format)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first process stops, and this one with it
    with suppress(EmbedreelError):  # the first process meets the same, and reports it
        join(ctx)


def _place(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _end_with(others: list[BaseProcess], failed: threading.Event) -> None:
    pending = {other.sentinel: other for other in others}
    while pending:
        for sentinel in wait(list(pending)):
            other = pending.pop(sentinel)  # type: ignore[arg-type]
            other.join()
            if other.exitcode and not failed.is_set():
                os._exit(EXIT_STATUS)
