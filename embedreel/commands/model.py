"""The command that downloads a trained model."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from embedreel.access import connect
from embedreel.api import Client
from embedreel.command import OK, Command, run_argument
from embedreel.output import byte_bar


def model(options: argparse.Namespace) -> int:
    """Save the model that a run has trained, as a folder that from_pretrained loads.

    The run must have kept its weights: submit it with --set train.keep_weights=last.
    """
    folder = (options.folder or Path(options.run)).absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists already: name a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch, connect(options) as client:
        unpacked = Path(scratch, "model")
        with ZipFile(_fetch(client, options.run, Path(scratch, "model.zip"))) as packed:
            packed.extractall(unpacked)
        unpacked.replace(folder)
    print(folder)
    return OK


def _fetch(client: Client, run_id: str, path: Path) -> Path:
    """Download the model's ZIP, with a progress bar."""
    with byte_bar() as shown:
        task = shown.add_task("download", total=None)

        def show_received(received_bytes: int, total_bytes: int | None) -> None:
            shown.update(task, completed=received_bytes, total=total_bytes)

        return client.download(run_id, "model", path, on_progress=show_received)


def _model_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="where to save the model (default: a folder named after the run's id)",
    )


COMMANDS = (Command("model", model, _model_flags),)
