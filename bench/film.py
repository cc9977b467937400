"""From embeddings to the GIF: each part compared with the published method, and peak memory by number of frames.

The embeddings are random: 768 features of decreasing variance, and ten classes that separate over the film. Training
and forward passes are not measured.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import notebook
from core.domain.arrays import FrameFacts, NeighborGraph, OutlierScores, ProbeSet, Projection, TrainingLog
from core.domain.formats import FORMATS, GIF
from core.domain.spec import AlignSpec, ProjectSpec, RenderSpec
from core.draw.palette import Frame, Palette
from core.layout.frames import Frames
from core.layout.project import project_frames
from core.measure.outliers import score_frames
from core.render.encode import film_writer
from core.render.film import render_film
from core.render.run_scene import FrameRenderer, Scene
from core.review.review import ReviewInputs, review

POINTS, WIDTH, CLASSES = 10_000, 768, 10
FRAMES = 30
ENCODED = 6
"""Number of frames whose file sizes are compared. The published method takes about a second for each frame."""
SIZE = (1480, 1490)
MEMORY_POINTS = 2_000
MEMORY_FRAMES = (10, 50, 200)
NONE = AlignSpec(method="none")


def main(options: argparse.Namespace) -> None:
    frames, labels = list(embeddings(POINTS, FRAMES)), classes(POINTS)
    print(f"{POINTS:,} images, {WIDTH} features, {FRAMES} frames; seconds per frame, medians of {options.repeats}.\n")
    print("| part | published method | here | ratio | target |\n|---|---|---|---|---|")
    floor = _timed(lambda: frames[0] @ frames[1].T, options.repeats)  # two arrays: of X @ X.T, NumPy computes only half
    both = [_score(frames, options.repeats), _project(frames, options.repeats)]
    film = filmed(frames, labels)
    both += [_draw(film, options.repeats), _encode(film)]
    targets = (">= 6", ">= 2", ">= 25", ">= 4")
    for (name, published, here), target in zip(both, targets, strict=True):
        print(f"| {name} | {published:.3f} | {here:.4f} | {published / here:.1f} | {target} |", flush=True)
    measured = _timed(lambda: review(film, project=ProjectSpec(), align=NONE), 1) / FRAMES
    print(f"| quality card and highlights | - | {measured:.3f} | | |")
    total = sum(published for _, published, _ in both), sum(here for *_, here in both) + measured
    print(f"| all of these | {total[0]:.2f} | {total[1]:.2f} | {total[0] / total[1]:.1f} | >= 10 |")
    slower = both[0][2] / floor
    print(f"\nOutlier scores take {slower:.1f} times as long as the product of all pairs, {floor:.2f} s (target: 1.6).")
    theirs, ours = _bytes(frames, film)
    print(f"The GIF has {ours:.0f} bytes per 1,000 pixels, the published GIF {theirs:.0f} (target: half of that).")
    _memory()


def embeddings(n_points: int, n_frames: int, *, width: int = WIDTH) -> Iterator[NDArray[np.float32]]:
    """Yield the embeddings of each frame, x_t = (s_t m_c + e + 0.1 d_t) / sqrt(1 + j) for feature j.

    m_c is the mean of the point's class, e is a deviation of the point, and d_t is a deviation of the point in the
    frame. All three are standard normal. The separation s_t grows from 0 to 4. Each call gives the same numbers.

    Args:
        n_points: number of points N.
        n_frames: number of frames.
        width: number of features D.

    Yields:
        (N, D) float32.
    """
    rng = np.random.default_rng(0)
    means = rng.standard_normal((CLASSES, width))
    scale = (1 / np.sqrt(1 + np.arange(width))).astype(np.float32)
    deviations = rng.standard_normal((n_points, width)).astype(np.float32)
    for index in range(n_frames):
        separation = 4 * index / max(1, n_frames - 1)
        drift = 0.1 * rng.standard_normal((n_points, width)).astype(np.float32)
        yield ((separation * means[classes(n_points)] + deviations + drift) * scale).astype(np.float32)


def classes(n_points: int) -> NDArray[np.int64]:
    """Return labels of equally frequent classes, (N,) int64."""
    return np.arange(n_points) % CLASSES


def filmed(frames: Frames, labels: NDArray[np.int64]) -> ReviewInputs:
    """Return the input of the stage `measure`: embeddings, scores, neighbours, projection and labels.

    Args:
        frames: T arrays of embeddings, (N, D) float32 each.
        labels: (N,) int64.
    """
    scores, neighbors = score_frames(frames, k=10)
    return assembled(frames, labels, scores, neighbors, project_frames(frames, project=ProjectSpec(), align=NONE))


def assembled(
    frames: Frames, labels: NDArray[np.int64], scores: OutlierScores, neighbors: NeighborGraph, projection: Projection
) -> ReviewInputs:
    """Return the input of the stage `measure` from scores, neighbours and a projection that are already computed."""
    facts = [FrameFacts(10 * at, at / 2, 2.0 - at / len(frames), at / len(frames), labels) for at in range(len(frames))]
    names = tuple(f"class {label}" for label in range(CLASSES))
    return ReviewInputs(frames, facts, projection, scores, neighbors, labels, names)


def scene(film: ReviewInputs) -> Scene:
    """Return the scene of a film, with random images and an artificial training log."""
    n_points, last = len(film.labels), film.facts[-1].step
    images = np.random.default_rng(1).integers(0, 256, (n_points, 4, 4, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    step = np.arange(last + 1)
    loss, nothing = (2.3 * np.exp(-3 * step / last)).astype(np.float32), np.full(last + 1, np.nan, dtype=np.float32)
    log = TrainingLog(step, (step / 20).astype(np.float32), loss, nothing, nothing)
    probe = ProbeSet(images, film.labels, np.arange(n_points), tuple(film.class_names))
    return Scene("bench", film.projection, film.scores, log, probe, film.facts)


def _score(frames: list[NDArray[np.float32]], repeats: int) -> tuple[str, float, float]:
    published = _timed(lambda: notebook.scores(frames[-1]), repeats)
    return "outlier scores", published, _timed(lambda: score_frames([frames[-1]], k=10), repeats)


def _project(frames: list[NDArray[np.float32]], repeats: int) -> tuple[str, float, float]:
    def published() -> None:
        reference = None
        for frame in reversed(frames):
            reference = notebook.project(frame, reference)

    def here() -> None:
        project_frames(frames, project=ProjectSpec(), align=NONE)

    name = "projection and alignment"
    return name, _timed(published, repeats) / len(frames), _timed(here, repeats) / len(frames)


def _renderer(drawn: Scene) -> FrameRenderer:
    return FrameRenderer(RenderSpec(width=SIZE[0], height=SIZE[1]), drawn)


def _published(film: ReviewInputs, drawn: Scene) -> Callable[[NDArray[np.floating]], NDArray[np.uint8]]:
    """Return a function that draws points (N, 2) with the published method."""
    worst, losses = np.argsort(-film.scores.distance[-1])[:8], (drawn.log.step, drawn.log.loss)
    return lambda points: notebook.draw(points, film.labels, worst, drawn.probe.images, losses)


def _draw(film: ReviewInputs, repeats: int) -> tuple[str, float, float]:
    drawn, points = scene(film), film.projection.points[-1]
    renderer, theirs = _renderer(drawn), _published(film, drawn)
    published = _timed(lambda: theirs(points), repeats)
    return f"drawing, {SIZE[0]} x {SIZE[1]}", published, _timed(lambda: renderer.draw(FRAMES - 1), 10 * repeats)


def _encode(film: ReviewInputs) -> tuple[str, float, float]:
    renderer = _renderer(scene(film))
    indices = [frame for _, frame in renderer.film()]
    pictures = [renderer.palette.colors[frame] for frame in indices]
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder) / "theirs.gif", Path(folder) / FORMATS[GIF].file
        published = _timed(lambda: notebook.encode(theirs, pictures, fps=12), 1) / FRAMES
        here = _timed(lambda: _write_gif(ours, indices, renderer.palette), 1) / FRAMES
        fraction = ours.stat().st_size / theirs.stat().st_size
    return f"encoding, {fraction:.0%} of the bytes".replace("%", " %"), published, here


def _write_gif(path: Path, frames: list[Frame], palette: Palette) -> None:
    with film_writer(GIF, path.parent, palette, fps=12) as writer:
        for frame in frames:
            writer.add(frame)


def _bytes(frames: list[NDArray[np.float32]], film: ReviewInputs) -> tuple[float, float]:
    """Return the bytes per 1,000 pixels of the published GIF, and of ours."""
    drawn = scene(film)
    layouts: list[NDArray[np.float64]] = []
    for frame in frames[-ENCODED:]:
        layouts.append(notebook.project(frame, layouts[-1] if layouts else None))
    pictures = list(map(_published(film, drawn), layouts))
    renderer = _renderer(drawn)
    indices = [renderer.draw(index) for index in range(FRAMES - ENCODED, FRAMES)]
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder) / "theirs.gif", Path(folder) / FORMATS[GIF].file
        notebook.encode(theirs, pictures, fps=12)
        _write_gif(ours, indices, renderer.palette)
        sizes = theirs.stat().st_size, ours.stat().st_size
    pixels = pictures[0][..., 0].size, indices[0].size
    return 1000 * sizes[0] / (ENCODED * pixels[0]), 1000 * sizes[1] / (ENCODED * pixels[1])


def _memory() -> None:
    """Print the peak memory and the time of a process that makes a film, for each number of frames."""
    print(f"\n| frames of {MEMORY_POINTS:,} images | peak memory, beyond the imports | seconds |\n|---|---|---|")
    for count in MEMORY_FRAMES:
        command = [sys.executable, "-m", "bench.film", str(count)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        peak, seconds = ended.stdout.split()
        print(f"| {count} | {float(peak):.2f} GiB | {float(seconds):.1f} |", flush=True)


class Stored:
    """Frames in files, mapped one at a time, as in the worker."""

    def __init__(self, folder: Path, count: int, *, n_points: int, width: int) -> None:
        self.paths = [folder / f"{index}.npy" for index in range(count)]
        for path, frame in zip(self.paths, embeddings(n_points, count, width=width), strict=True):
            np.save(path, frame)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (np.load(path, mmap_mode="r") for path in self.paths)


def _one_film(count: int) -> None:
    """Make a film in this process. Print the peak memory beyond the imports, GiB, and the time, seconds."""
    before = peak_gib()
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(Path(folder), count, n_points=MEMORY_POINTS, width=WIDTH)
        started = time.perf_counter()
        film = filmed(stored, classes(MEMORY_POINTS))
        review(film, project=ProjectSpec(), align=NONE)
        (Path(folder) / "film").mkdir()
        render_film(
            Path(folder) / "film",
            RenderSpec(),
            partial(FrameRenderer, scene=scene(film)),
            on_frame=lambda _done, _total: None,
        )
        print(peak_gib() - before, time.perf_counter() - started)


def peak_gib() -> float:
    """Return the peak resident memory of this process, GiB.

    `getrusage` is not used, because its value is inherited from the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 2**20


def _timed(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    _one_film(int(sys.argv[1]))
