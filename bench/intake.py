"""The intake alone: read, decode and store a ZIP of 60,000 small images in class folders."""

import argparse
import io
import resource
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.intake import inspect_in_subprocess

TRAIN, EVALUATION, CLASSES = 50_000, 10_000, 10


def main(options: argparse.Namespace) -> None:  # noqa: ARG001 - every benchmark has this parameter
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "received"
        source.mkdir()
        fill(source / "images.zip")
        size = (source / "images.zip").stat().st_size
        started = time.perf_counter()
        inspect_in_subprocess(source, Path(folder) / "stored", max_entries=TRAIN + EVALUATION)
        took = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print("| a ZIP of 60,000 PNG images of 32 x 32 pixels | measured | target |\n|---|---|---|")
    print(f"| from the file, {size / 1e6:.0f} MB, to the stored dataset | {took:.1f} s | under 60 s |")
    print(f"| memory of the process that reads it | {memory:.0f} MB | under 500 MB |")


def fill(path: Path) -> None:
    """Write images of noise into a ZIP, as `train/CLASS/….png` and `test/CLASS/….png`."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(TRAIN + EVALUATION):
            split = "train" if index < TRAIN else "test"
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(buffer, "PNG")
            archive.writestr(f"{split}/class {index % CLASSES}/{index:05}.png", buffer.getvalue())
