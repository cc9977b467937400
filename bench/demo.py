"""The digits film of `make demo`: time from POST to GIF, and the fraction that is not training or forward passes."""

import argparse
import datetime as dt
import time
from statistics import median

from bench import training
from bench.service import PeakOfChildren, finish, service
from embedreel.demo import BODY


def main(options: argparse.Namespace) -> None:
    """Print medians of alternating repetitions, because the speed of a shared machine changes within minutes."""
    walls, alone, stages, peak = [], [], [], 0
    training.training_alone()  # warm up
    for _ in range(options.repeats):
        with service() as (client, running), PeakOfChildren(running.processes["worker"].pid) as memory:
            started = time.perf_counter()
            run = finish(client, client.submit(BODY)["id"])
            walls.append(time.perf_counter() - started)
        peak = max(peak, memory.peak)
        stages.append({stage["name"]: _seconds(stage) for stage in run["stages"]})
        alone.append(training.training_alone() + training.forward_passes_alone())
    rest = [max(0.0, wall - needed) / wall for wall, needed in zip(walls, alone, strict=True)]
    print("| digits demo | measured | target |\n|---|---|---|")
    print(f"| POST to film | {median(walls):.1f} s | under 60 s |")
    print(f"| training and probe forward passes, alone | {median(alone):.1f} s | |")
    print(f"| fraction of the rest | {median(rest):.0%} ({min(rest):.0%} to {max(rest):.0%}) | under 25 % |")
    print(f"| largest child process | {peak / 2**30:.2f} GiB | |")
    for name in stages[0]:
        print(f"| stage {name} | {median(one[name] for one in stages):.1f} s | |")


def _seconds(stage: dict[str, str]) -> float:
    began, ended = (dt.datetime.fromisoformat(stage[key]) for key in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
