"""The digits film of `make demo`: time from POST to GIF, and the fraction that is not training or forward passes."""

import argparse
import time

from bench import training
from bench.service import PeakOfChildren, finish, service
from embedreel.demo import BODY


def main(options: argparse.Namespace) -> None:  # noqa: ARG001
    with service() as (client, running), PeakOfChildren(running.processes["worker"].pid) as memory:
        started = time.perf_counter()
        run = finish(client, client.submit(BODY)["id"])
        wall = time.perf_counter() - started
    training.training_alone()  # warm up
    needed = training.training_alone() + training.forward_passes_alone()
    print("| digits demo | measured | target |\n|---|---|---|")
    print(f"| POST to film | {wall:.1f} s | under 60 s |")
    print(f"| training and probe forward passes, alone | {needed:.1f} s | |")
    print(f"| fraction of the rest | {max(0.0, wall - needed) / wall:.0%} | under 25 % |")
    print(f"| largest child process | {memory.peak / 2**30:.2f} GiB | |")
    for stage in run["stages"]:
        print(f"| stage {stage['name']} | {stage['started_at'][11:23]} to {stage['finished_at'][11:23]} | |")
