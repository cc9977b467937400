"""CIFAR-10 by HTTP: upload Parquet files, train `vit-tiny`, and draw 30 frames of 1,000 probe images."""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.service import PeakOfChildren, finish, service

BODY = {
    "model": "vit-tiny",
    "train": {"steps": 300, "train_size": 2000},
    "capture": {"frames": 30, "probe_size": 1000},
}


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        given = options.cifar10
        source = given or imitation(Path(folder))
        print(
            "Images: CIFAR-10"
            if given
            else "Images: noise in the size and number of CIFAR-10 (--cifar10 FOLDER uses CIFAR-10)"
        )
        print()
        with service() as (client, running), PeakOfChildren(running.processes["worker"].pid) as memory:
            started = time.perf_counter()
            dataset = client.upload_dataset([source / "train.parquet", source / "test.parquet"])
            uploaded = time.perf_counter()
            run = finish(client, client.submit(BODY | {"name": "CIFAR-10", "dataset": dataset["id"]})["id"])
            ended = time.perf_counter()
            last = client.checkpoints(run["id"])[-1]
    print("| CIFAR-10 | measured | target |\n|---|---|---|")
    print(f"| upload, every image decoded | {uploaded - started:.1f} s | |")
    print(f"| POST to film | {ended - uploaded:.0f} s | under 300 s |")
    print(f"| largest child process | {memory.peak / 2**30:.2f} GiB | under 2.5 GiB |")
    print(f"| accuracy on the probe images at step {last['step']} | {last['accuracy']:.1%} | |")


def imitation(folder: Path) -> Path:
    """Write Parquet files of noise images in the format, size and number of CIFAR-10. Return the folder."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 50_000), ("test", 10_000)):
        images = [_jpeg(rng.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(count)]
        table = pa.table(
            {"image": [{"bytes": image, "path": None} for image in images], "label": rng.integers(0, 10, count)}
        )
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()
