"""Comparison of three backbones by HTTP: a run of each model on the same images, their table, and their film.

The dataset is CIFAR-10 with --cifar10 FOLDER, otherwise digits. --output FILE.gif saves the film, and its last frame as
FILE.png.
"""

import argparse

from bench.service import finish, service
from embedreel.api import Client
from embedreel.commands.comparisons import table
from embedreel.connection import Json
from embedreel.output import print_table

MODELS = ("vit-tiny", "resnet-tiny", "convnext-mini")
TRAIN = {"steps": 300}


def main(options: argparse.Namespace) -> None:
    with service() as (client, _):
        dataset, train = "digits", TRAIN
        if options.cifar10:
            files = [options.cifar10 / name for name in ("train.parquet", "test.parquet")]
            dataset, train = client.upload_dataset(files)["id"], {**TRAIN, "steps": 500}
        runs = [_filmed(client, {"dataset": dataset, "train": train}, model=model) for model in MODELS]
        title = f"{'CIFAR-10' if options.cifar10 else 'Digits'}: three small models from random weights"
        made = client.compare({"runs": [run["id"] for run in runs], "name": title})
        finish(client, made["id"])
        found = client.comparison(made["id"])
        if options.output:
            client.download(made["id"], "film.gif", options.output)
            frames = max(len(client.checkpoints(run["id"])) for run in runs)
            client.download(made["id"], f"frames/{frames - 1}.png", options.output.with_suffix(".png"))
    print_table(*table(found))


def _filmed(client: Client, body: Json, *, model: str) -> Json:
    asked = body | {"model": model, "name": model, "capture": {"frames": 40}}
    return finish(client, client.submit(asked)["id"])
