"""Transfer learning by HTTP, on class folders cut from CIFAR-10 (--cifar10 FOLDER; without it, noise for a test run).

A small ViT with random weights is trained on five of the classes. Then the recipe two_phase trains the model on the
other five classes, with a few hundred images per class: first a new head on the frozen backbone, then all layers.
--output FILE.gif saves the film, and its last frame as FILE.png.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from bench.cifar10 import imitation
from bench.service import finish, service
from embedreel.api import Client
from embedreel.connection import Json
from embedreel.folder import packed

FIRST, SECOND = range(5), range(5, 10)
MANY, FEW, MEASURED = 3000, 400, 200
"""Images per class: of the first training, of the second training, and of each evaluation split."""
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LEARN_FIRST = {"steps": 2000, "keep_weights": "last"}


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, service() as (client, _):
        images = options.cifar10 or imitation(Path(folder) / "noise")
        first, second = Path(folder) / "first", Path(folder) / "second"
        write_folders(images, first, labels=FIRST, per_class=MANY)
        write_folders(images, second, labels=SECOND, per_class=FEW)
        learnt = _filmed(client, first, {"name": "five classes, from scratch", "train": LEARN_FIRST})
        body = {"model": f"run:{learnt['id']}", "name": "five new classes", "train": {"recipe": "two_phase"}}
        run = _filmed(client, second, body)
        phases = client.evaluation(run["id"])["phases"]
        checkpoints = client.checkpoints(run["id"])
        if options.output:
            client.download(run["id"], "film.gif", options.output)
            client.download(run["id"], f"frames/{len(checkpoints) - 1}.png", options.output.with_suffix(".png"))
    print("| two phases | step | accuracy | loss | calibration error |\n|---|---|---|---|---|")
    print(f"| before, with a new head | 0 | {checkpoints[0]['accuracy']:.1%} | {checkpoints[0]['loss']:.2f} | |")
    for phase in phases:
        cells = f"{phase['accuracy']:.1%} | {phase['loss']:.2f} | {phase['calibration_error']:.3f}"
        print(f"| after {phase['phase']} | {phase['step']} | {cells} |")


def write_folders(source: Path, folder: Path, *, labels: range, per_class: int) -> None:
    """Write the first images of some classes as `train/CLASS/N.png` and `val/CLASS/N.png`.

    Args:
        source: folder with train.parquet and test.parquet.
        folder: folder to write to.
        labels: numbers of the classes.
        per_class: number of training images per class; `val` gets at most MEASURED images per class.
    """
    for split, file, most in (("train", "train.parquet", per_class), ("val", "test.parquet", MEASURED)):
        written = Counter[int]()
        table = pq.read_table(source / file)
        images, classes = (table.column(index) for index in (0, 1))
        for image, label in zip(images, classes.to_pylist(), strict=True):
            if label not in labels or written[label] == most:
                continue
            place = folder / split / NAMES[label]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{written[label]}.png").write_bytes(image.as_py()["bytes"])
            written[label] += 1


def _filmed(client: Client, folder: Path, body: Json) -> Json:
    with packed([folder]) as files:
        dataset = client.upload_dataset(files)
    asked = {"dataset": dataset["id"], "model": "vit-tiny", "capture": {"frames": 48, "probe_size": 1000}}
    return finish(client, client.submit(asked | body)["id"])
