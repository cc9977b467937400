"""Growth of time and memory with the number of images and of frames: tables, and a picture (--output FILE.png).

Each table has the slope of a straight line fitted to log(value) over log(size): 1 is proportional growth, 0 no growth.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bench.film import Stored, assembled, classes, peak_gib, scene
from core.domain.spec import AlignSpec, ProjectSpec, RenderSpec
from core.layout.project import project_frames
from core.measure.outliers import score_frames
from core.render.film import render_film
from core.render.run_scene import FrameRenderer
from core.review.review import review

WIDTH = 128
POINTS = (1_000, 10_000, 100_000)
FRAMES = (10, 100, 600)
FEW_FRAMES, FEW_POINTS = 5, 1_000
PARTS = ("score", "project", "measure", "render", "peak GiB")
NONE = AlignSpec(method="none")


def main(options: argparse.Namespace) -> None:
    """Make each film in a separate process, because peak memory is measured per process."""
    by_points = [_in_process(points, FEW_FRAMES) for points in POINTS]
    by_frames = [_in_process(FEW_POINTS, frames) for frames in FRAMES]
    _table(f"images, {FEW_FRAMES} frames of {WIDTH} features; seconds", POINTS, by_points)
    _table(f"frames of {FEW_POINTS:,} images, {WIDTH} features; seconds", FRAMES, by_frames)
    if options.output:
        _draw(options.output, by_points, by_frames)


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return the least-squares slope of log(value) over log(size).

    Args:
        sizes: n sizes, above 0.
        values: n values; values below 1e-9 count as 1e-9.

    >>> round(slope([1, 10, 100], [2.0, 20.0, 200.0]), 3)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def _table(what: str, sizes: Sequence[int], rows: list[dict[str, float]]) -> None:
    print(f"\n| {what} | " + " | ".join(PARTS) + " |\n|" + "---|" * (1 + len(PARTS)))
    for size, row in zip(sizes, rows, strict=True):
        print(f"| {size:,} | " + " | ".join(f"{row[part]:.2f}" for part in PARTS) + " |")
    slopes = (slope(sizes, [row[part] for row in rows]) for part in PARTS)
    print("| slope | " + " | ".join(f"{one:.2f}" for one in slopes) + " |", flush=True)


def _in_process(points: int, frames: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.growth", str(points), str(frames)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(zip(PARTS, map(float, ended.stdout.split()), strict=True))


def _one_film(points: int, frames: int) -> None:
    """Make a film in this process. Print the seconds of each part, and the peak memory beyond the imports, GiB."""
    before, project = peak_gib(), ProjectSpec()
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(Path(folder), frames, n_points=points, width=WIDTH)
        marks = [time.perf_counter()]
        scores, neighbors = score_frames(stored, k=10)
        marks.append(time.perf_counter())
        projection = project_frames(stored, project=project, align=NONE)
        marks.append(time.perf_counter())
        film = assembled(stored, classes(points), scores, neighbors, projection)
        review(film, project=project, align=NONE)
        marks.append(time.perf_counter())
        (Path(folder) / "film").mkdir()
        render_film(
            Path(folder) / "film",
            RenderSpec(),
            partial(FrameRenderer, scene=scene(film)),
            on_frame=lambda _done, _total: None,
        )
        marks.append(time.perf_counter())
    print(*np.diff(marks), peak_gib() - before)


def _draw(path: Path, by_points: list[dict[str, float]], by_frames: list[dict[str, float]]) -> None:
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    for axes, sizes, rows, name in zip(
        figure.subplots(1, 2), (POINTS, FRAMES), (by_points, by_frames), ("images", "frames"), strict=True
    ):
        for part in PARTS:
            label = part if part == PARTS[-1] else f"{part}, s"
            axes.loglog(sizes, [row[part] for row in rows], marker="o", label=label)
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    _one_film(int(sys.argv[1]), int(sys.argv[2]))
