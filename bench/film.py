"""From embeddings to the GIF: each part against the published way, in one run, and its memory by the number of frames.

Embeddings are drawn at random as a training leaves them: ten classes, 768 features of falling variance, that come apart
over the film. Training and forward passes are no part of it.
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
from core.review.review import Filmed, review

POINTS, WIDTH, CLASSES = 10_000, 768, 10
FRAMES = 30
ENCODED = 6
"""Frames whose bytes are compared: the published way needs a second for each."""
SIZE = (1480, 1490)
MEMORY_POINTS = 2_000
MEMORY_FRAMES = (10, 50, 200)
NONE = AlignSpec(method="none")


def main(options: argparse.Namespace) -> None:
    frames, labels = list(embeddings(POINTS, FRAMES)), classes(POINTS)
    print(f"{POINTS:,} images, {WIDTH} features, {FRAMES} frames; seconds a frame, medians of {options.repeats}.\n")
    print("| part | published way | here | ratio | asked |\n|---|---|---|---|---|")
    floor = _timed(lambda: frames[0] @ frames[1].T, options.repeats)  # of one array NumPy would compute half
    both = [_score(frames, options.repeats), _lay_out(frames, options.repeats)]
    film = filmed(frames, labels)
    both += [_draw(film, options.repeats), _encode(film)]
    asked = (">= 6", ">= 2", ">= 25", ">= 4")
    for (name, published, here), limit in zip(both, asked, strict=True):
        print(f"| {name} | {published:.3f} | {here:.4f} | {published / here:.1f} | {limit} |", flush=True)
    measured = _timed(lambda: review(film, project=ProjectSpec(), align=NONE), 1) / FRAMES
    print(f"| quality card and highlights | - | {measured:.3f} | | |")
    total = sum(published for _, published, _ in both), sum(here for *_, here in both) + measured
    print(f"| all of these | {total[0]:.2f} | {total[1]:.2f} | {total[0] / total[1]:.1f} | >= 10 |")
    print(f"\nOutlier scores take {both[0][2] / floor:.1f} times the product of all pairs, {floor:.2f} s (asked: 1.6).")
    theirs, ours = _bytes(frames, film)
    print(f"A GIF takes {ours:.0f} bytes by 1,000 pixels, one of the published pictures {theirs:.0f} (asked: half).")
    _memory()


def embeddings(n_points: int, n_frames: int, *, width: int = WIDTH) -> Iterator[NDArray[np.float32]]:
    """(N, D) a frame, the same in each run."""
    rng = np.random.default_rng(0)
    homes = rng.standard_normal((CLASSES, width))
    spread = (1 / np.sqrt(1 + np.arange(width))).astype(np.float32)
    own = rng.standard_normal((n_points, width)).astype(np.float32)
    for index in range(n_frames):
        apart = 4 * index / max(1, n_frames - 1)
        drift = 0.1 * rng.standard_normal((n_points, width)).astype(np.float32)
        yield ((apart * homes[classes(n_points)] + own + drift) * spread).astype(np.float32)


def classes(n_points: int) -> NDArray[np.int64]:
    """(N,) labels, as many of each."""
    return np.arange(n_points) % CLASSES


def filmed(frames: Frames, labels: NDArray[np.int64]) -> Filmed:
    """What the stages before `measure` know."""
    scores, neighbors = score_frames(frames, k=10)
    return assembled(frames, labels, scores, neighbors, project_frames(frames, project=ProjectSpec(), align=NONE))


def assembled(
    frames: Frames, labels: NDArray[np.int64], scores: OutlierScores, neighbors: NeighborGraph, projection: Projection
) -> Filmed:
    """The same of what has been computed already."""
    facts = [FrameFacts(10 * at, at / 2, 2.0 - at / len(frames), at / len(frames), labels) for at in range(len(frames))]
    names = tuple(f"class {label}" for label in range(CLASSES))
    return Filmed(frames, facts, projection, scores, neighbors, labels, names)


def scene(film: Filmed) -> Scene:
    """What is drawn of it."""
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


def _lay_out(frames: list[NDArray[np.float32]], repeats: int) -> tuple[str, float, float]:
    def published() -> None:
        reference = None
        for frame in reversed(frames):
            reference = notebook.lay_out(frame, reference)

    def here() -> None:
        project_frames(frames, project=ProjectSpec(), align=NONE)

    name = "projection and alignment"
    return name, _timed(published, repeats) / len(frames), _timed(here, repeats) / len(frames)


def _renderer(drawn: Scene) -> FrameRenderer:
    return FrameRenderer(RenderSpec(width=SIZE[0], height=SIZE[1]), drawn)


def _published(film: Filmed, drawn: Scene) -> Callable[[NDArray[np.floating]], NDArray[np.uint8]]:
    """Draws points in the published way."""
    worst, losses = np.argsort(-film.scores.distance[-1])[:8], (drawn.log.step, drawn.log.loss)
    return lambda points: notebook.draw(points, film.labels, worst, drawn.probe.images, losses)


def _draw(film: Filmed, repeats: int) -> tuple[str, float, float]:
    drawn, points = scene(film), film.projection.points[-1]
    renderer, theirs = _renderer(drawn), _published(film, drawn)
    published = _timed(lambda: theirs(points), repeats)
    return f"drawing, {SIZE[0]} x {SIZE[1]}", published, _timed(lambda: renderer.draw(FRAMES - 1), 10 * repeats)


def _encode(film: Filmed) -> tuple[str, float, float]:
    renderer = _renderer(scene(film))
    indices = [frame for _, frame in renderer.film()]
    pictures = [renderer.palette.colors[frame] for frame in indices]
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder) / "theirs.gif", Path(folder) / FORMATS[GIF].file
        published = _timed(lambda: notebook.encode(theirs, pictures, fps=12), 1) / FRAMES
        here = _timed(lambda: _write_gif(ours, indices, renderer.palette), 1) / FRAMES
        share = ours.stat().st_size / theirs.stat().st_size
    return f"encoding, {share:.0%} of the bytes".replace("%", " %"), published, here


def _write_gif(path: Path, frames: list[Frame], palette: Palette) -> None:
    with film_writer(GIF, path.parent, palette, fps=12) as writer:
        for frame in frames:
            writer.add(frame)


def _bytes(frames: list[NDArray[np.float32]], film: Filmed) -> tuple[float, float]:
    """By 1,000 pixels: of a GIF of the published pictures in the published way, and of ours."""
    drawn = scene(film)
    laid: list[NDArray[np.float64]] = []
    for frame in frames[-ENCODED:]:
        laid.append(notebook.lay_out(frame, laid[-1] if laid else None))
    pictures = list(map(_published(film, drawn), laid))
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
    """Peak memory of a process that lays out, measures, draws and encodes films of more and more frames."""
    print(f"\n| frames of {MEMORY_POINTS:,} images | peak memory, beyond the imports | seconds |\n|---|---|---|")
    for count in MEMORY_FRAMES:
        command = [sys.executable, "-m", "bench.film", str(count)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        peak, seconds = ended.stdout.split()
        print(f"| {count} | {float(peak):.2f} GiB | {float(seconds):.1f} |", flush=True)


class Stored:
    """Frames on disk, mapped one at a time, as the worker has them."""

    def __init__(self, folder: Path, count: int, *, n_points: int, width: int) -> None:
        self.paths = [folder / f"{index}.npy" for index in range(count)]
        for path, frame in zip(self.paths, embeddings(n_points, count, width=width), strict=True):
            np.save(path, frame)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (np.load(path, mmap_mode="r") for path in self.paths)


def _one_film(count: int) -> None:
    """A film in this process; prints its peak memory in GiB and its seconds."""
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
    """Of this process; what `getrusage` tells is inherited from the process that started this one."""
    told = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in told.splitlines() if line.startswith("VmHWM"))) / 2**20


def _timed(work: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    _one_film(int(sys.argv[1]))
