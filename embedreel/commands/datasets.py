"""Commands for datasets: upload, datasets."""

import argparse
from pathlib import Path

from embedreel.access import connect
from embedreel.api import Client
from embedreel.command import OK, Command
from embedreel.connection import Json
from embedreel.folder import packed
from embedreel.output import add_json_flag, byte_bar, show

COLUMNS = ["id", "kind", "classes", "train_size", "evaluation_size", "name"]


def upload(options: argparse.Namespace) -> int:
    """Upload a dataset: a folder or ZIP of class folders, or Parquet files in the image format of Hugging Face."""
    with connect(options) as client:
        dataset = _send(client, options)
    classes, train, evaluation = (dataset.get(key) for key in ("classes", "train_size", "evaluation_size"))
    print(f"{dataset['id']}  {len(classes or [])} classes, {train} images to train on, {evaluation} to evaluate")
    _show_left_out(dataset.get("report") or {})
    print(f"embedreel submit --dataset {dataset['id']}")
    return OK


def datasets(options: argparse.Namespace) -> int:
    """Show the datasets that a run may use, or delete an uploaded one."""
    with connect(options) as client:
        if options.delete:
            client.delete_dataset(options.delete)
            print(f"{options.delete}  deleted")
            return OK
        found = client.datasets()
    show(found if options.json else [_row(dataset) for dataset in found], COLUMNS, as_json=options.json)
    return OK


def _send(client: Client, options: argparse.Namespace) -> Json:
    """Pack and upload the files, with a progress bar."""
    with byte_bar() as shown:
        task = shown.add_task("upload", total=None)

        def show_packed(packed_bytes: int, total_bytes: int) -> None:
            shown.update(task, completed=packed_bytes, total=total_bytes, description="zip")

        def show_sent(sent_bytes: int, total_bytes: int) -> None:
            activity = "upload" if sent_bytes < total_bytes else "sent; the service is checking every image"
            shown.update(task, completed=sent_bytes, total=total_bytes, description=activity)

        with packed(options.files, show_packed) as files:
            return client.upload_dataset(
                files, name=options.name, allow_broken=options.allow_broken, on_progress=show_sent
            )


def _show_left_out(report: Json) -> None:
    """Print how many files the service left out, and the names that its report lists."""
    for what, why in (("broken", "cannot be used and are left out"), ("ignored", "are no images and are left out")):
        left_out = report.get(what) or {}
        if n_files := left_out.get("count"):
            more = ", …" if n_files > len(left_out["first"]) else ""
            print(f"{n_files} files {why}: {', '.join(left_out['first'])}{more}")


def _row(dataset: Json) -> Json:
    """Return a dataset's table row, with the number of classes instead of their names."""
    classes = dataset.get("classes")
    return dataset | {"classes": None if classes is None else len(classes)}


def _upload_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="PATH", help="a folder, a ZIP, or Parquet files")
    parser.add_argument("--name", help="name of the dataset (default: chosen by the service)")
    parser.add_argument(
        "--allow-broken", action="store_true", help="leave out unusable images instead of refusing the dataset"
    )


def _datasets_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--delete", metavar="ID", help="delete this dataset; films that were made from it stay")
    add_json_flag(parser)


COMMANDS = (Command("upload", upload, _upload_flags), Command("datasets", datasets, _datasets_flags))
