"""Commands that make or follow a run: submit, draw, watch."""

import argparse
from pathlib import Path

from embedreel import body
from embedreel.access import connect
from embedreel.api import Client
from embedreel.command import FAILED, OK, Command, run_argument
from embedreel.connection import Json
from embedreel.errors import describe
from embedreel.output import Terminal
from embedreel.watch import watch


def submit(options: argparse.Namespace) -> int:
    """Make a run.

    Only one run is made, even if the connection breaks and the request is retried.
    """
    asked = body.from_arguments(options, body.SUBMITTED)
    if "dataset" not in asked:
        raise ValueError("The dataset is missing: add --dataset, for example --dataset digits.")
    with connect(options) as client:
        return accepted(client, client.submit(asked), options)


def draw(options: argparse.Namespace) -> int:
    """Draw a run's film with other settings, without training.

    A new run draws the film. Only one run is made, even if the connection breaks and the request is retried.
    """
    with connect(options) as client:
        return accepted(client, client.draw(options.run, body.from_arguments(options, body.DRAWN)), options)


def watch_run(options: argparse.Namespace) -> int:
    """Follow a run until it ends."""
    with connect(options) as client:
        return _watch(client, options.run, options.output)


def accepted(client: Client, run: Json, options: argparse.Namespace) -> int:
    """Print a new run's id and URL, and follow the run if the options ask for it. Return the exit status."""
    print(f"{run['id']}  {run['name']}  {run['status']}\n{client.url}{run['links']['self']}", flush=True)
    if not (options.watch or options.output):
        return OK
    return _watch(client, run["id"], options.output)


def _watch(client: Client, run_id: str, output: Path | None) -> int:
    try:
        run = watch(client, run_id, console=Terminal())
    except KeyboardInterrupt:
        print(f"\nThe run continues. Watch it: embedreel watch {run_id}   Cancel it: embedreel cancel {run_id}")
        raise
    if run["status"] != "succeeded":
        print(" ".join([f"{run_id} {run['status']}.", *([describe(run["error"])] if run["error"] else [])]))
        return FAILED
    print(f"{client.url}{run['links']['film']}")
    if output:
        print(client.download(run_id, "film.gif", output))
    return OK


def _submit_flags(parser: argparse.ArgumentParser) -> None:
    body.add_flags(parser, body.SUBMITTED, rest="fields that are left out get the service's defaults")
    follow_flags(parser)


def _draw_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    body.add_flags(parser, body.DRAWN, rest="fields that are left out keep the values of RUN")
    follow_flags(parser)


def follow_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags --watch and --output."""
    parser.add_argument("--watch", action="store_true", help="follow the run until it ends")
    _output_flag(parser)


def _watch_run_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    _output_flag(parser)


def _output_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, metavar="FILE", help="follow the run, then save the film to this file")


COMMANDS = (
    Command("submit", submit, _submit_flags),
    Command("draw", draw, _draw_flags),
    Command("watch", watch_run, _watch_run_flags),
)
