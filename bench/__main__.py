"""`make bench`: the figures that README and docs claim. `python -m bench NAME …` runs some of them only.

demo      the digits film as `make demo` makes it: wall time, and the share that is not training or forward passes
phases    feature extraction and fine-tuning against a plain loop and a plain Trainer
presets   every preset on digits: accuracy, and processor time of 300 steps
capture   training with capture against the same training without, plus the same forward passes alone
augmentation  what augmentation takes of a training step (--output FILE draws what it does)
cifar10   a film of CIFAR-10 (--cifar10 FOLDER with train.parquet and test.parquet; else images of the same size)
two_phase transfer learning on class folders cut from CIFAR-10, accuracy after each phase (--output FILE.gif: the film)
comparison  three small backbones side by side: the table (--cifar10 FOLDER; --output FILE.gif: the film)
intake    60,000 small images in a ZIP, from the file to the stored dataset: time and memory
api       the API process: time to the first answer, memory, and that torch is not loaded
film      from embeddings to the GIF: each part against the published notebook, and memory by the number of frames
growth    time and memory by the number of images and of frames (--output FILE.png draws them)
spacing   how evenly the model moves from frame to frame, with checkpoints spaced evenly, by ratio, and by drift
thresholds  what the thresholds of adaptive capture cost: the same spacing with other values, for three presets
layouts   every layout on embeddings of three trainings: motion, neighbourhoods, variance, cost (--cifar10 FOLDER, or
          --data digits or letters, which need none)
engine    with stub stages: how soon a run and a child start, how many runs several workers finish
load      the API under load: 50 clients, unpaced polling against a bare FastAPI application, 100 event streams
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


def tune_like_a_worker() -> None:
    """Start again with the variables that a worker gives its children, so that the comparisons are fair."""
    if missing := {name: value for name, value in TUNING.items() if name not in os.environ}:
        os.execve(sys.executable, [sys.executable, "-m", "bench", *sys.argv[1:]], {**os.environ, **missing})  # noqa: S606


def machine() -> str:
    """What the figures were taken on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, {platform.system()}"


def main() -> None:
    """Run the benches named on the command line, each printing its table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; none: all")
    parser.add_argument("--cifar10", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each comparison; medians are printed")
    parser.add_argument("--seconds", type=float, default=60, help="how long the clients of `load` go on")
    parser.add_argument("--data", choices=("digits", "letters", "cifar10"), help="the one that `layouts` trains on")
    parser.add_argument("--output", type=Path, help="where `growth` or `augmentation` draws its picture")
    options = parser.parse_args()
    tune_like_a_worker()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {machine()}")
    for name in options.names or NAMES:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"bench.{name}").main(options)


if __name__ == "__main__":
    main()
