"""`make bench`: measure the figures in README and docs. `python -m bench NAME …` runs only the named benchmarks.

demo          the digits film of `make demo`: wall time, and the fraction that is neither training nor forward passes
phases        linear probing and fine-tuning, compared with a plain loop and with a plain Trainer
presets       each preset on digits: accuracy, and processor time of 300 steps
capture       training with capture, compared with the same training and the same forward passes, each alone
augmentation  cost of augmentation as a fraction of a training step (--output FILE.png draws examples)
cifar10       a film of CIFAR-10 (--cifar10 FOLDER with train.parquet and test.parquet; otherwise noise of that size)
two_phase     transfer learning on CIFAR-10 as class folders: accuracy by phase (--output FILE.gif saves the film)
comparison    three small backbones side by side (--cifar10 FOLDER uses CIFAR-10; --output FILE.gif saves the film)
intake        a ZIP of 60,000 small images, from the file to the stored dataset: time and memory
api           the API process: time to the first response, memory, and whether torch is loaded
film          from embeddings to the GIF: each part compared with the published notebook, and memory by number of frames
growth        time and memory by number of images and by number of frames (--output FILE.png draws them)
spacing       movement of the embeddings between frames that are spaced evenly, by ratio, and by drift
thresholds    effect of the thresholds of adaptive capture on the movement between frames, for three presets
layouts       each layout on embeddings of three trainings: motion, neighbourhoods, variance, cost (--cifar10 FOLDER, or
              --data digits or --data letters, which need no folder)
engine        stub stages: start time of a run and of a child process, and throughput of several workers
mutation      mutants of core/measure, layout, store and domain that the tests notice (--mutants, --seed; --output FILE
              for the results, from which an interrupted run continues)
load          the API under load: 50 clients, polling without pauses compared with a bare FastAPI application, and 100
              event streams
"""

import argparse
import datetime as dt
import importlib
import os
import platform
import sys
from pathlib import Path

from worker.child import TUNING

NAMES = (
    "api",
    "load",
    "engine",
    "presets",
    "capture",
    "phases",
    "augmentation",
    "demo",
    "cifar10",
    "two_phase",
    "comparison",
    "intake",
    "film",
    "growth",
    "spacing",
    "thresholds",
    "layouts",
)
ONLY_BY_NAME = ("mutation",)
"""Benchmarks that take hours, and print no figure of README or docs."""


def tune_like_a_worker() -> None:
    """Restart this process with the environment variables of a worker's children, unless the variables are set."""
    if missing := {name: value for name, value in TUNING.items() if name not in os.environ}:
        os.execve(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]], {**os.environ, **missing})  # noqa: S606


def machine() -> str:
    """Describe the machine: number of cores, processor, Python version and system."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, {platform.system()}"


def main() -> None:
    """Run the benchmarks that the command line names. Each benchmark prints a table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join((*NAMES, *ONLY_BY_NAME))} (default: all but the last)",
    )
    parser.add_argument("--cifar10", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each measurement; the median is printed")
    parser.add_argument("--seconds", type=float, default=60, help="duration of the benchmark `load`, seconds")
    parser.add_argument("--data", choices=("digits", "letters", "cifar10"), help="dataset of `layouts` (default: all)")
    parser.add_argument("--mutants", type=int, default=300, help="number of mutants of `mutation`")
    parser.add_argument("--seed", type=int, default=0, help="seed that draws the mutants of `mutation`")
    parser.add_argument("--output", type=Path, help="file for the picture or the film")
    options = parser.parse_args()
    tune_like_a_worker()
    if unknown := set(options.names) - {*NAMES, *ONLY_BY_NAME}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {machine()}")
    for name in options.names or NAMES:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"bench.{name}").main(options)


if __name__ == "__main__":
    main()
