"""Modules that the fork server imports before the first task, as its children see them."""

import multiprocessing
import os
import sys
import warnings
from pathlib import Path


def found(connection):
    threads = Path(f"/proc/{os.getppid()}/task").iterdir()
    connection.send(
        {
            "modules": sorted(sys.modules),
            "server_threads": [(thread / "comm").read_text().strip() for thread in threads],
            "silenced": ("ignore", None, Warning, None, 0) in warnings.filters,
        }
    )


def test_preload__has_the_modules_of_the_stages_of_a_preset():
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=found, args=(theirs,))
    child.start()
    seen = ours.recv()
    child.join()
    models = {f"transformers.models.{name}.modeling_{name}" for name in ("vit", "resnet", "convnext")}
    assert {*models, "cleanlab.filter", "sklearn.datasets", "matplotlib.figure"} <= set(seen["modules"])
    others = [name for name in seen["server_threads"] if name != "jemalloc_bg_thd"]
    assert len(others) == 1, others  # a forked child has no other threads; jemalloc starts new ones
    assert not seen["silenced"]  # as the import of cleanlab does
