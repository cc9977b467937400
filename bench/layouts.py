"""Each layout on embeddings of real trainings: motion, neighbourhood preservation, variance, and time per frame.

There are three datasets and two backbones. The datasets are handwritten digits, CIFAR-10, and rotated and blurred
letters in fonts of matplotlib. --output FILE.png draws the last frame of some layouts for the dataset that --data
names, with the paths of some points over the whole film.
"""

import argparse
import io
import string
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator
from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench.training import prepare
from core.data.intake import inspect_in_subprocess
from core.domain.arrays import FloatArray
from core.domain.layouts import LAYOUTS
from core.domain.schedule import capture_steps
from core.domain.spec import AlignSpec, ProjectSpec, TrainSpec
from core.layout.axes import pca
from core.layout.project import project_frames
from core.learn import datasets
from core.learn.embed import embed
from core.learn.fine_tune import fine_tune
from core.learn.pixels import ImagesOnDevice
from core.measure.motion import jitter, pearson, residual_rotation, spearman, step_lengths, temporal_stress
from core.measure.neighborhoods import faithfulness, sample_rows
from core.measure.neighbors import nearest_neighbors

FRAMES = 60
PROBE_SIZE = 1000
NEIGHBORS = 15
MEASURED_FRAMES = 12
"""Number of frames whose neighbourhoods are compared."""
COLUMNS = (
    "layout",
    "r",
    "rank r",
    "stress",
    "residual rotation",
    "jitter",
    "trustworthiness",
    "continuity",
    "neighbours kept",
    "own variance shown, minimum",
    "mean",
    "ms a frame",
)
"""Columns of the table.

r, rank r: Pearson and Spearman correlation of the points' movements in the layout with those in the representation.
residual rotation: `residual_rotation`. neighbours kept: mean k-NN recall with k = NEIGHBORS. own variance shown:
variance of the layout, relative to the first two principal components of the frame; its minimum and its mean over the
frames.
"""
LETTERS = string.ascii_uppercase[:12]
TRAININGS = (
    ("digits", "vit-tiny", TrainSpec(steps=300)),
    ("letters", "vit-tiny", TrainSpec(steps=300)),
    ("cifar10", "vit-small", TrainSpec(steps=600, train_size=10_000)),
)
METHODS = (
    ("pca, procrustes to last (published)", {"method": "pca"}, {"method": "procrustes"}),
    ("pca, procrustes to previous (published)", {"method": "pca"}, {"method": "procrustes", "reference": "previous"}),
    ("pca, not aligned", {"method": "pca"}, {"method": "none"}),
    ("pca, rigid", {"method": "pca"}, {"method": "rigid", "trim": 0.0}),
    ("pca, rigid, trimmed", {"method": "pca"}, {"method": "rigid"}),
    ("pca, rigid to previous, trimmed", {"method": "pca"}, {"method": "rigid", "reference": "previous"}),
    ("global_pca", {"method": "global_pca"}, {"method": "none"}),
    ("smooth_pca, sigma 0", {"method": "smooth_pca", "smoothing": 0.0}, {"method": "none"}),
    ("smooth_pca, sigma 1", {"method": "smooth_pca", "smoothing": 1.0}, {"method": "none"}),
    ("smooth_pca, sigma 3", {"method": "smooth_pca", "smoothing": 3.0}, {"method": "none"}),
    ("smooth_pca, sigma 10", {"method": "smooth_pca", "smoothing": 10.0}, {"method": "none"}),
    ("smooth_pca, chosen", {"method": "smooth_pca"}, {"method": "none"}),
    ("tsne, rigid, trimmed", {"method": "tsne"}, {"method": "rigid", "reference": "previous"}),
    ("umap, rigid, trimmed", {"method": "umap"}, {"method": "rigid", "reference": "previous"}),
)


DRAWN = {
    "pca, procrustes to last (published)": "as published",
    "pca, rigid, trimmed": "pca, rigid",
    "global_pca": "global_pca",
    "smooth_pca, chosen": "smooth_pca (the default)",
    "tsne, rigid, trimmed": "tsne",
    "umap, rigid, trimmed": "umap",
}
FOLLOWED = 10
"""Number of points whose paths are drawn."""


def main(options: argparse.Namespace) -> None:
    print(f"{FRAMES} frames of at most {PROBE_SIZE:,} probe images; {NEIGHBORS} nearest neighbours.")
    for dataset, model, train in TRAININGS:
        if options.data not in {None, dataset}:
            continue
        with tempfile.TemporaryDirectory() as folder:
            frames, labels, accuracy = _train(dataset, model, train, Path(folder), options)
        layouts = _table(f"{dataset}, {model}", frames, accuracy)
        if options.output:
            _picture(options.output, layouts, labels)


def _table(title: str, frames: list[FloatArray], accuracy: float) -> dict[str, tuple[FloatArray, float]]:
    """Print the table of one training.

    Args:
        title: name of the training.
        frames: T arrays of embeddings, (N, D) float32 each.
        accuracy: accuracy at the last frame, 0 to 1.

    Returns:
        The points (T, N, 2) of each layout, and its correlation r.
    """
    results = {}
    moved = step_lengths(np.stack(frames))
    turned = np.linalg.norm(np.diff(np.stack(frames), n=2, axis=0), axis=2)
    best = np.array([points.var(axis=0).sum() for points in (pca(frame)[0] for frame in frames)])
    measured = np.linspace(0, len(frames) - 1, MEASURED_FRAMES).round().astype(int)
    rows = sample_rows(len(frames[0]))
    graphs = {t: nearest_neighbors(frames[t], k=NEIGHBORS).indices[rows] for t in measured}
    print(f"\n{title}: {frames[0].shape[1]} features, accuracy {accuracy:.0%} at the end\n")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for name, project, align in METHODS:
        started = time.perf_counter()
        projection = project_frames(frames, project=ProjectSpec(**project), align=AlignSpec(**align))
        seconds = time.perf_counter() - started
        points = projection.points
        steps = step_lengths(points)
        kept = [faithfulness(frames[t], points[t], neighbors=graph, rows=rows) for t, graph in graphs.items()]
        variances = points.var(axis=1).sum(axis=1) / best
        linear = not LAYOUTS[project["method"]].is_neighbor_based and align["method"] != "procrustes"
        chosen = f": {projection.smoothing:g}" if "chosen" in name and projection.smoothing is not None else ""
        relative_jitter = jitter(steps, np.linalg.norm(np.diff(points, n=2, axis=0), axis=2)) / jitter(moved, turned)
        results[name] = points, pearson(steps, moved)
        cells = [
            name + chosen,
            f"{results[name][1]:.3f}",
            f"{spearman(steps, moved):.3f}",
            f"{temporal_stress(moved, steps):.2f}",
            f"{residual_rotation(points):.2f}",
            f"{relative_jitter:.2f}",
            f"{np.mean([one.trustworthiness for one in kept]):.3f}",
            f"{np.mean([one.continuity for one in kept]):.3f}",
            f"{np.mean([one.knn_recall for one in kept]):.3f}",
            f"{variances.min():.2f}" if linear else "-",
            f"{variances.mean():.2f}" if linear else "-",
            f"{1000 * seconds / len(frames):.0f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
    return results


def _picture(path: Path, layouts: dict[str, tuple[FloatArray, float]], labels: NDArray[np.int64]) -> None:
    figure = Figure(figsize=(11, 7.6), dpi=110, layout="constrained")
    followed = np.random.default_rng(0).choice(len(labels), FOLLOWED, replace=False)
    for axes, (name, title) in zip(figure.subplots(2, 3).flat, DRAWN.items(), strict=True):
        points, r = layouts[name]
        axes.scatter(*points[-1].T, c=labels, cmap="tab10", s=5, alpha=0.35, linewidths=0)
        for place in followed:
            axes.plot(*points[:, place].T, color="black", linewidth=0.6, alpha=0.8)
        axes.scatter(*points[-1, followed].T, color="black", s=12, zorder=3)
        axes.set_title(f"{title}: r = {r:.2f}", fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", "datalim")
    figure.savefig(path)


def _train(
    dataset: str, model: str, spec: TrainSpec, folder: Path, options: argparse.Namespace
) -> tuple[list[FloatArray], NDArray[np.int64], float]:
    """Train a model.

    Returns:
        Embeddings of the probe images at each checkpoint, (N, D) float32 each; labels, (N,); accuracy at the last
        checkpoint, 0 to 1.
    """
    source = datasets.open_source(
        "digits" if dataset == "digits" else "ds_" + "0" * 26,
        uploaded=_stored(dataset, folder, options),
        allowed_hub=(),
    )
    probe_size = min(PROBE_SIZE, source.facts.evaluation_size)
    backbone, images, probe = prepare(source, model=model, spec=spec, probe_size=probe_size)
    on_device = ImagesOnDevice(probe, backbone, device=Accelerator(mixed_precision="no").device)
    frames, accuracy = [], 0.0
    for checkpoint in fine_tune(backbone, images, spec=spec, capture_steps=capture_steps(spec.steps, FRAMES)):
        seen = embed(checkpoint.backbone, on_device, step=checkpoint.step, epoch=checkpoint.epoch)
        frames.append(seen.embeddings)
        accuracy = seen.accuracy
    return frames, probe.labels, accuracy


def _stored(dataset: str, folder: Path, options: argparse.Namespace) -> Path | None:
    """Return the folder of the stored dataset; None for the built-in digits."""
    if dataset == "digits":
        return None
    given = folder / "given"
    given.mkdir()
    if dataset == "letters":
        _letters(given)
    elif options.cifar10:
        for name in ("train.parquet", "test.parquet"):
            (given / name).symlink_to((options.cifar10 / name).resolve())
    else:
        raise SystemExit(
            "bench layouts requires CIFAR-10: add --cifar10 FOLDER, a folder with train.parquet and test.parquet"
        )
    inspect_in_subprocess(given, folder / "stored")
    return folder / "stored"


def _letters(folder: Path) -> None:
    """Write 6,000 training images and 1,000 evaluation images of letters, 24 x 24 pixels."""
    rng = np.random.default_rng(0)
    fonts = sorted(font_manager.findSystemFonts([str(Path(font_manager.__file__).parent / "mpl-data/fonts/ttf")]))
    readable = [font for font in fonts if "DejaVu" in font and "Display" not in font]
    for name, count in (("train", 6000), ("test", 1000)):
        labels = rng.integers(0, len(LETTERS), count)
        drawn = [{"bytes": image, "path": None} for image in _draw(labels, readable, rng)]
        pq.write_table(
            pa.table({"image": drawn, "label": [LETTERS[label] for label in labels]}), folder / f"{name}.parquet"
        )


def _draw(labels: NDArray[np.int64], fonts: list[str], rng: np.random.Generator) -> Iterator[bytes]:
    for label in labels:
        font = ImageFont.truetype(str(rng.choice(fonts)), int(rng.integers(14, 21)))
        image = Image.new("L", (24, 24), int(rng.integers(0, 80)))
        place = (12 + rng.normal(), 12 + rng.normal())
        ImageDraw.Draw(image).text(place, LETTERS[label], fill=int(rng.integers(150, 256)), font=font, anchor="mm")
        image = image.rotate(float(rng.normal(0, 15)), Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1))))
        noisy = np.clip(np.asarray(image) + rng.normal(0, 20, (24, 24)), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).convert("RGB").save(file, "PNG")
        yield file.getvalue()
